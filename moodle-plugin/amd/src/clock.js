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
 * The server's time, as a page can know it.
 *
 * Promises: never ahead of the server, never decreasing, and never taken from the wall clock, which students set as they
 * like. It is the time the page was minted plus the monotonic clock since, raised whenever a reply proves it late.
 *
 * The monotonic clock of some systems stands still while the computer sleeps. A jump between it and the wall clock is a hint
 * that this has happened: until the next reply the clock is then doubtful, and what was timed since is to be timed again.
 *
 * @module     local_examstream/clock
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/** Milliseconds by which the two clocks may drift apart between two looks before a sleep is suspected. */
const TOLERANCE = 2000;

export default class Clock {
    /**
     * @param {Number} minted the server's time when it made the page, in seconds.
     */
    constructor(minted) {
        // The page had arrived at responseEnd at the latest, and was minted before.
        const [navigation] = performance.getEntriesByType?.('navigation') ?? [];
        this.offset = minted - (navigation?.responseEnd || performance.now()) / 1000;
        this.last = 0;
        this.doubtful = false;
        this.drift = Date.now() - performance.now();
    }

    /**
     * Looks for a sleep since the last look.
     */
    look() {
        const drift = Date.now() - performance.now();
        if (Math.abs(drift - this.drift) > TOLERANCE) {
            this.doubtful = true;
        }
        this.drift = drift;
    }

    /**
     * The server's time at a moment of the monotonic clock.
     *
     * @param {Number} moment as performance.now() gives it.
     * @return {Number} seconds, not less than any returned before.
     */
    at(moment = performance.now()) {
        this.last = Math.max(this.last, Math.round((this.offset + moment / 1000) * 1e6) / 1e6);
        return this.last;
    }

    /**
     * A reply said what time it was on the server.
     *
     * @param {Number} now seconds.
     */
    hear(now) {
        this.offset = Math.max(this.offset, now - performance.now() / 1000);
        this.doubtful = false;
    }
}
