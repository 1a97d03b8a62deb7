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
 * The signs of one page that are switched on, as running totals.
 *
 * Promises: a total never decreases, so that a record sent twice counts once; what is switched off is not even listened
 * for; what is copied, pasted or looked at elsewhere is never read.
 *
 * @module     local_examstream/signals
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

import {hex} from 'local_examstream/random';

/** Where a browser keeps the number by which it is told from others. */
const DEVICE = 'local_examstream_device';

/** How often something began, and for how long it has lasted in all. */
class Span {
    constructor() {
        this.times = 0;
        this.milliseconds = 0;
        this.since = null;
    }

    /**
     * Begins or ends.
     *
     * @param {Boolean} on
     */
    set(on) {
        if (on === (this.since !== null)) {
            return;
        }
        if (on) {
            this.times++;
            this.since = performance.now();
        } else {
            this.milliseconds += performance.now() - this.since;
            this.since = null;
        }
    }

    /**
     * Whole seconds so far.
     *
     * @return {Number}
     */
    seconds() {
        return Math.floor((this.milliseconds + (this.since === null ? 0 : performance.now() - this.since)) / 1000);
    }
}

export default class Signals {
    /**
     * @param {String[]} switches those that are on.
     */
    constructor(switches) {
        this.on = new Set(switches);
        this.hidden = new Span();
        this.offline = new Span();
        this.pasted = 0;
        this.copied = 0;
        this.leaving = false;
    }

    /**
     * Watches the page for what is on.
     */
    watch() {
        if (this.on.has('signalhidden')) {
            // A page that is left for another one of the attempt is hidden last of all: that is no sign of anything.
            window.addEventListener('pagehide', () => {
                this.leaving = true;
            });
            window.addEventListener('pageshow', () => {
                this.leaving = false;
            });
            document.addEventListener('visibilitychange', () =>
                this.hidden.set(!this.leaving && document.visibilityState === 'hidden'));
        }
        if (this.on.has('signalclipboard')) {
            document.addEventListener('paste', () => this.pasted++);
            ['copy', 'cut'].forEach(type => document.addEventListener(type, () => this.copied++));
        }
        if (this.on.has('signalconnection')) {
            ['offline', 'online'].forEach(type => window.addEventListener(type, () => this.offline.set(!navigator.onLine)));
        }
    }

    /**
     * Watches an editor: it has a document of its own.
     *
     * @param {Object} editor of TinyMCE
     */
    watchEditor(editor) {
        if (this.on.has('signalclipboard') && !editor.inline) {
            editor.on('paste', () => this.pasted++);
            editor.on('copy cut', () => this.copied++);
        }
    }

    /**
     * The totals so far.
     *
     * @return {Object}
     */
    totals() {
        const totals = {};
        if (this.on.has('signalhidden')) {
            Object.assign(totals, {hidden: this.hidden.times, 'hidden_s': this.hidden.seconds()});
        }
        if (this.on.has('signalclipboard')) {
            Object.assign(totals, {pasted: this.pasted, copied: this.copied});
        }
        if (this.on.has('signalconnection')) {
            Object.assign(totals, {offline: this.offline.times, 'offline_s': this.offline.seconds()});
        }
        return totals;
    }

    /**
     * The number of this browser, where devices are told apart.
     *
     * @return {Object} device, or nothing: also where the browser keeps nothing, because a new number with each page would
     *     look like many devices.
     */
    device() {
        if (!this.on.has('signaldevice')) {
            return {};
        }
        try {
            const device = localStorage.getItem(DEVICE) ?? hex(16);
            localStorage.setItem(DEVICE, device);
            return {device};
        } catch (error) {
            return {};
        }
    }

    /**
     * Whether signs of life bring something that answers do not.
     *
     * @return {Boolean}
     */
    isMarked() {
        return this.on.has('signaladdress') || this.on.has('signaldevice');
    }
}
