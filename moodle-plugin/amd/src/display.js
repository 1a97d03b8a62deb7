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
 * What the student sees: a small mark at each question, and a banner when something is wrong.
 *
 * Says that an answer is saved only when it is. All texts and icons are loaded before they are needed, because the moment
 * they are needed may be the moment the connection is gone.
 *
 * @module     local_examstream/display
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

import {getString, getStrings} from 'core/str';
import Templates from 'core/templates';

/** The icon and the string of each mark. */
const MARKS = {
    refused: ['i/warning', 'mark_refused'],
    restored: ['i/checked', 'mark_restored'],
    saved: ['i/checked', 'mark_saved'],
    saving: ['i/loading_small', 'mark_saving'],
    unsaved: ['i/warning', 'mark_unsaved'],
};

/** The colour and the string of each banner. */
const BANNERS = {
    back: ['success', 'banner_back'],
    finished: ['danger', 'banner_finished'],
    kept: ['warning', 'banner_kept'],
    open: ['warning', 'banner_open'],
    returning: ['info', 'banner_returning'],
    token: ['danger', 'banner_token'],
};

/** Milliseconds for which good news stay. */
const GOOD_NEWS = 6000;

export default class Display {
    /**
     * @param {HTMLElement} place where it is shown: the attempt's form, or what the page has in its stead.
     * @param {Number} usage the question usage, which the questions' ids begin with.
     */
    constructor(place, usage) {
        this.place = place;
        this.usage = usage;
        this.marks = new Map();
        this.shown = '';
        this.timer = null;
    }

    /**
     * Loads texts and icons, and makes room for the banner.
     */
    async prepare() {
        const entries = [...Object.entries(MARKS), ...Object.entries(BANNERS)];
        const strings = await getStrings(entries.map(([, [, key]]) => ({key, component: 'local_examstream'})));
        const icons = await Promise.all(Object.values(MARKS).map(([icon]) => Templates.renderPix(icon, 'core', '')));
        this.texts = Object.fromEntries(entries.map(([name], i) => [name, strings[i]]));
        this.icons = Object.fromEntries(Object.keys(MARKS).map((name, i) => [name, icons[i]]));
        this.banner = document.createElement('div');
        this.banner.className = 'local-examstream-banner';
        this.banner.setAttribute('role', 'status');
        this.voice = document.createElement('div');
        this.voice.className = 'sr-only visually-hidden';
        this.voice.setAttribute('aria-live', 'polite');
        this.place.prepend(this.banner, this.voice);
    }

    /**
     * How a question is marked.
     *
     * @param {Number} slot
     * @return {String|undefined}
     */
    stateOf(slot) {
        return this.marks.get(slot)?.dataset.state;
    }

    /**
     * Marks a question.
     *
     * @param {Number} slot
     * @param {String} state a key of MARKS
     */
    mark(slot, state) {
        let mark = this.marks.get(slot);
        const info = document.querySelector(`#question-${this.usage}-${slot} .info`);
        if (!this.texts || !info || this.stateOf(slot) === state) {
            return;
        }
        if (!mark) {
            mark = document.createElement('div');
            this.marks.set(slot, mark);
            info.append(mark);
        }
        const before = this.stateOf(slot);
        mark.className = 'local-examstream-mark';
        mark.dataset.state = state;
        mark.innerHTML = this.icons[state];
        mark.append(Object.assign(document.createElement('span'), {textContent: this.texts[state]}));
        // Read out what calls for attention, and that it is over; not every letter that was saved.
        const wrong = ['refused', 'unsaved'];
        if (wrong.includes(state) || (state === 'saved' && wrong.includes(before))) {
            this.voice.textContent = `${info.querySelector('.no')?.textContent ?? ''}: ${this.texts[state]}`;
        }
    }

    /**
     * Shows a banner, or none.
     *
     * @param {String} name a key of BANNERS, or ''.
     */
    show(name) {
        if (!this.texts || name === this.shown) {
            return;
        }
        clearTimeout(this.timer);
        this.shown = name;
        this.banner.replaceChildren();
        if (name) {
            const box = document.createElement('div');
            box.className = `alert alert-${BANNERS[name][0]}`;
            box.textContent = this.texts[name];
            this.banner.append(box);
        }
        if (name === 'back') {
            this.timer = setTimeout(() => this.show(''), GOOD_NEWS);
        }
    }

    /**
     * Says that answers were restored before the page was shown.
     *
     * @param {Number[]} slots
     */
    async restored(slots) {
        if (!this.texts || !slots.length) {
            return;
        }
        const line = document.createElement('div');
        line.className = 'alert alert-info local-examstream-restored';
        line.setAttribute('role', 'status');
        this.place.before(line);
        slots.forEach(slot => this.mark(slot, 'restored'));
        line.textContent = await getString(slots.length === 1 ? 'restored_one' : 'restored_many', 'local_examstream', slots.length);
    }
}
