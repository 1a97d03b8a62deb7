// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

/**
 * Asks for changes: every two seconds while the page is seen, at once when it is seen again, less and less often while
 * there is trouble. One question is under way at a time.
 *
 * @module     local_examstream/local/board/poller
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/** Milliseconds between two questions. */
const INTERVAL = 2000;

/** Milliseconds for which another one's question may be under way. */
const MEANWHILE = 300;

/** The longest pause in times of trouble. */
const MAX_PAUSE = 30000;

/**
 * The pause after so many failures: doubled each time, with jitter, so that a hundred boards do not come back at once.
 *
 * @param {Number} failures in a row; 0: none.
 * @return {Number} milliseconds
 */
export const pause = failures => failures
    ? Math.min(MAX_PAUSE, INTERVAL * 2 ** failures) * (0.5 + Math.random() / 2)
    : INTERVAL * (0.95 + Math.random() / 10);

export default class Poller {
    /**
     * @param {Object} does
     * @param {Function} does.ask takes the version, resolves to changes.
     * @param {Function} does.take what to do with changes.
     * @param {Function} does.trouble told of a failure and the milliseconds until the next try; of its end, with null.
     */
    constructor({ask, take, trouble}) {
        Object.assign(this, {ask, take, trouble, version: 0, failures: 0, timer: null, busy: false, again: false});
        document.addEventListener('visibilitychange', () => this.now());
    }

    /**
     * Asks at once, or again after the answer that is under way.
     */
    now() {
        clearTimeout(this.timer);
        if (this.busy) {
            this.again = true;
        } else if (document.visibilityState !== 'hidden') {
            this.round();
        }
    }

    /**
     * One question and what follows from its answer.
     */
    async round() {
        this.busy = true;
        this.again = false;
        let wait;
        try {
            const changes = await this.ask(this.version);
            this.version = changes.version;
            await this.take(changes);
            if (this.failures) {
                this.failures = 0;
                this.trouble(null);
            }
            // Nothing yet, and more to come: somebody else is just asking the same.
            const soon = changes.rows?.length ? 0 : MEANWHILE * (0.5 + Math.random());
            wait = changes.more ? soon : pause(0);
        } catch (error) {
            wait = pause(++this.failures);
            this.trouble(error, wait);
        }
        this.busy = false;
        this.timer = setTimeout(() => this.now(), this.again && !this.failures ? 0 : wait);
    }
}
