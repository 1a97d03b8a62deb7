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
 * Captures the answers of an attempt page; what runs beside it is started here.
 *
 * For each changed question it records the complete set of its successful controls, never a submit button, and hands it to
 * the sender. Core's own autosave goes on beside it. Nothing in here may break the quiz: where anything is missing, the page
 * works as it does without the plugin.
 *
 * The summary of an attempt has no questions and no configuration of its own: there it goes on with what the attempt's last
 * page in this tab was given, so that what was not saved yet is sent, and the help desk is there.
 *
 * @module     local_examstream/capture
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

import {eventTypes} from 'core_form/events';
import Clock from 'local_examstream/clock';
import Display from 'local_examstream/display';
import Help from 'local_examstream/help';
import Outbox from 'local_examstream/outbox';
import Sender from 'local_examstream/sender';
import Signals from 'local_examstream/signals';
import {hex} from 'local_examstream/random';
import {isAnswered} from 'local_examstream/answered';

/** Milliseconds after the last key until an answer is recorded, and the most it waits while typing goes on. */
const [PAUSE, LONGEST_PAUSE] = [400, 2000];

/** Milliseconds between two looks at fields (scripts write them without an event), at editors and at the connection. */
const TICK = 1000;

/** Milliseconds after which an answer that is still on its way is shown as not saved. */
const PATIENCE = 3000;

/** Milliseconds for which the form is held while answers of an earlier page are brought back. */
const HOLD = 8000;

/** Milliseconds from saved to restorable: the way through the stream into the state store. */
const FOLD = 1000;

/** Fields that differ from page to page though the answer is the same. */
const OF_THE_PAGE = /^:(?!sequencecheck)|:itemid$|^attachments$/;

/** Where a tab keeps the configuration of its last page. */
const CONFIG = 'local_examstream_config';

/** The capture of one page. */
class Capture {
    /**
     * @param {Object} config
     * @param {HTMLFormElement} form
     * @param {HTMLElement} place where the student is told how things stand.
     */
    constructor(config, form, place) {
        this.config = config;
        this.form = form;
        this.place = place;
        this.page = `${config.page}.${hex(4)}`;
        this.seq = 0;
        // What the page shows is as old as the page.
        this.edited = config.minted;
        this.signals = new Signals(config.switches);
        this.told = JSON.stringify(this.signals.totals());
        this.last = new Map();
        this.dirty = new Map();
        this.since = new Map();
        this.written = new Map();
        this.timer = null;
        this.touched = false;
        this.failed = false;
        this.editors = new Set();
        this.clock = new Clock(config.minted);
        // That page may have been made an hour ago.
        this.clock.doubtful = config.recalled === true;
        this.outbox = new Outbox(config);
        this.display = new Display(place, config.usage);
        const section = document.querySelector('.local-examstream-help');
        this.help = section && config.switches.includes('helpdesk') ? new Help(config, section, {
            send: call => this.call(call),
            stateOf: record => this.stateOf(record),
        }) : null;
        this.sender = new Sender(config, this.clock, this.outbox, {
            signal: forced => this.signal(forced),
            marked: this.signals.isMarked(),
            changed: () => this.refresh(),
            dropped: record => this.help?.refuse(record),
            help: this.help,
        });
    }

    /**
     * Starts watching, brings earlier answers back, then reports.
     */
    async start() {
        this.field = document.createElement('input');
        this.field.type = 'hidden';
        this.field.name = 'local_examstream';
        this.form.append(this.field);
        this.sign();
        this.collect().forEach((fields, slot) => this.last.set(slot, JSON.stringify(fields)));
        this.written = this.collectWritten();
        this.watch();
        this.signals.watch();
        const noted = document.querySelector('.local-examstream-noted');
        if (noted) {
            this.place.before(noted);
        }
        this.help?.start(this.place);
        const prepared = this.display.prepare().catch(() => null);
        const left = await this.outbox.open();
        setInterval(() => this.tick(), TICK);
        await prepared;
        this.display.restored(this.config.restored ?? []);
        await this.bringBack(left);
    }

    /**
     * Watches everything by which an answer can change.
     */
    watch() {
        const form = this.form;
        form.addEventListener('input', e => this.touch(this.slotOf(e.target), PAUSE));
        form.addEventListener('change', e => this.touch(this.slotOf(e.target), 0));
        form.addEventListener('submit', () => this.leave());
        // Files are in a draft area: the field stays the same when they change.
        document.addEventListener(eventTypes.uploadChanged, e => this.touch(this.slotOf(e.target), 0, true));
        ['pointerdown', 'keydown', 'input', 'change'].forEach(type => document.addEventListener(type, () => {
            this.touched = true;
        }, {capture: true, passive: true}));
        document.addEventListener('visibilitychange', () => {
            if (document.visibilityState === 'hidden') {
                this.leave();
            } else {
                this.sender.live();
            }
        });
        window.addEventListener('pagehide', () => this.leave());
        window.addEventListener('offline', () => this.refresh());
        window.addEventListener('online', () => this.sender.hurry());
    }

    /**
     * The slot an element belongs to.
     *
     * @param {Element} element
     * @return {Number} 0 for none.
     */
    slotOf(element) {
        const [, byName] = (element.name ?? '').match(`^q${this.config.usage}:(\\d+)_`) ?? [];
        const [, byPlace] = (element.closest?.('.que')?.id ?? '').match(`^question-${this.config.usage}-(\\d+)$`) ?? [];
        return Number(byName ?? byPlace ?? 0);
    }

    /**
     * The successful controls of the form, by slot: without submit buttons, and of a repeated name the last, as in PHP.
     *
     * @param {Map<String, String>} texts what editors have in the stead of their text areas, by name.
     * @return {Map<Number, Object>}
     */
    collect(texts = this.editorTexts()) {
        const slots = new Map();
        const prefix = new RegExp(`^q${this.config.usage}:(\\d+)_(.+)$`);
        const form = new FormData(this.form);
        // Which also replaces halves of characters, as a form that is posted does: no server reads JSON with such in it.
        texts.forEach((text, name) => form.set(name, text));
        form.forEach((value, name) => {
            const [, slot, field] = name.match(prefix) ?? [];
            if (this.config.slots[slot] && typeof value === 'string') {
                const fields = slots.get(Number(slot)) ?? {};
                fields[field] = value;
                slots.set(Number(slot), fields);
            }
        });
        return slots;
    }

    /**
     * What TinyMCE will write into its text areas when the form is submitted.
     *
     * @return {Map<String, String>}
     */
    editorTexts() {
        return new Map([...this.editors].filter(editor => editor.initialized && !editor.removed)
            .map(editor => [editor.getElement().name, editor.getContent()]));
    }

    /**
     * What stands in the form itself, by slot: editors say on their own that they have changed.
     *
     * @return {Map<Number, String>}
     */
    collectWritten() {
        return new Map([...this.collect(new Map())].map(([slot, fields]) => [slot, JSON.stringify(fields)]));
    }

    /**
     * A slot may have changed.
     *
     * @param {Number} slot 0 for none.
     * @param {Number} delay milliseconds without a further change after which it is looked at.
     * @param {Boolean} force records it even if its fields are the same.
     */
    touch(slot, delay, force = false) {
        if (!this.config.slots[slot]) {
            return;
        }
        const now = performance.now();
        const {since = now, force: forced = false} = this.dirty.get(slot) ?? {};
        this.dirty.set(slot, {since, force: force || forced});
        clearTimeout(this.timer);
        const first = Math.min(...[...this.dirty.values()].map(entry => entry.since));
        this.timer = setTimeout(() => this.record(), Math.max(0, Math.min(delay, first + LONGEST_PAUSE - now)));
        this.refresh();
    }

    /**
     * Records the slots that have changed.
     */
    record() {
        clearTimeout(this.timer);
        if (!this.dirty.size) {
            return;
        }
        const slots = this.collect();
        this.dirty.forEach(({force}, slot) => {
            const fields = slots.get(slot);
            const json = JSON.stringify(fields);
            if (fields && (force || json !== this.last.get(slot))) {
                this.last.set(slot, json);
                this.since.set(slot, performance.now());
                this.sender.add(this.answer(slot, fields));
            }
        });
        this.dirty.clear();
        this.refresh();
    }

    /**
     * The record of an answer.
     *
     * @param {Number} slot
     * @param {Object} fields
     * @return {Object}
     */
    answer(slot, fields) {
        const {qa, qtype} = this.config.slots[slot];
        const attached = document.querySelector(`#question-${this.config.usage}-${slot} .filemanager:not(.fm-noitems)`) !== null;
        const status = isAnswered(qtype, fields, attached) ? 1 : 0;
        this.edited = this.clock.at();
        return {type: 'answer', page: this.page, seq: ++this.seq, at: this.edited, slot, qa, status, fields};
    }

    /**
     * The record that is a sign of life and carries the page's running totals.
     *
     * @param {Boolean} forced also if no total has changed.
     * @return {Object|null}
     */
    signal(forced) {
        const counts = this.signals.totals();
        const told = JSON.stringify(counts);
        if (!forced && told === this.told) {
            return null;
        }
        this.told = told;
        return {type: 'alive', page: this.page, seq: ++this.seq, at: this.clock.at(), counts, ...this.signals.device()};
    }

    /**
     * Sends a step of a call for help.
     *
     * @param {Object} step text and slot, or the call that is withdrawn.
     * @return {Object} the record.
     */
    call(step) {
        const record = {type: 'help', page: this.page, seq: ++this.seq, at: this.clock.at(), ...step};
        this.sender.add(record);
        return record;
    }

    /**
     * How it stands with a record.
     *
     * @param {Object} record
     * @return {String} sending, unsent or sent.
     */
    stateOf(record) {
        if (!this.sender.queue.includes(record)) {
            return 'sent';
        }
        return this.sender.failures || this.sender.refusal || !navigator.onLine ? 'unsent' : 'sending';
    }

    /**
     * Tells the form up to which record, and of what time, a post of it knows the page.
     *
     * Nothing while something is not saved: then what Moodle gets with the form is what the server is to stream.
     */
    sign() {
        const unsaved = this.dirty.size || this.sender.hasUnsaved();
        this.field.value = unsaved ? '' : `${this.page}:${this.seq}:${this.edited.toFixed(6)}`;
    }

    /**
     * Once a second.
     */
    tick() {
        this.clock.look();
        this.hookEditors();
        this.lookAtFields();
        this.sender.live();
        this.refresh();
    }

    /**
     * Fields change without an event: drag and drop writes hidden ones, code editors text areas that nobody sees.
     */
    lookAtFields() {
        const written = this.collectWritten();
        const changed = [...written.keys()].filter(slot => written.get(slot) !== this.written.get(slot) && !this.dirty.has(slot));
        this.written = written;
        if (!changed.length) {
            return;
        }
        const slots = this.collect();
        changed.forEach(slot => {
            const json = JSON.stringify(slots.get(slot));
            if (this.touched && json !== this.last.get(slot)) {
                this.touch(slot, 0);
            } else {
                // Scripts of a question that set themselves up are not the student's answer.
                this.last.set(slot, json);
            }
        });
    }

    /**
     * TinyMCE may come later than this script, and its editors later still.
     */
    hookEditors() {
        (window.tinyMCE?.get?.() ?? []).forEach(editor => {
            if (!this.editors.has(editor) && this.form.contains(editor.getElement())) {
                this.editors.add(editor);
                this.signals.watchEditor(editor);
                editor.on('input change undo redo keyup', () => this.touch(this.slotOf(editor.getElement()), PAUSE));
                // The editor may write the same text in another way than it was stored.
                editor.on('init', () => this.settle(editor));
                if (editor.initialized) {
                    this.settle(editor);
                }
            }
        });
    }

    /**
     * What an editor shows before anybody has typed in it is no change.
     *
     * @param {Object} editor
     */
    settle(editor) {
        const slot = this.slotOf(editor.getElement());
        if (!this.dirty.has(slot) && !this.since.has(slot) && !editor.isDirty()) {
            this.last.set(slot, JSON.stringify(this.collect().get(slot)));
        }
    }

    /**
     * The page is submitted, hidden or left.
     */
    leave() {
        this.lookAtFields();
        this.record();
        this.sign();
        this.sender.leave();
    }

    /**
     * Shows how things stand.
     */
    refresh() {
        const {sender, display} = this;
        const now = performance.now();
        let late = false;
        new Set([...this.since.keys(), ...this.dirty.keys(), ...sender.refused, ...display.marks.keys()]).forEach(slot => {
            let state = display.stateOf(slot) === 'restored' && !this.since.has(slot) ? 'restored' : 'saved';
            if (sender.refused.has(slot)) {
                state = 'refused';
            } else if (sender.isWaiting(slot) || this.dirty.has(slot)) {
                const old = now - (this.since.get(slot) ?? now) > PATIENCE;
                state = sender.failures || sender.refusal || (old && sender.isWaiting(slot)) ? 'unsaved' : 'saving';
                late = late || (state === 'unsaved' && old);
            }
            display.mark(slot, state);
        });
        this.banner(late);
        this.help?.refresh();
        this.sign();
    }

    /**
     * Shows or hides the banner.
     *
     * @param {Boolean} late whether an answer waits for longer than it should.
     */
    banner(late) {
        const {sender, display} = this;
        if (display.shown === 'returning') {
            return;
        }
        if (sender.refusal) {
            display.show(sender.refusal);
        } else if (late || sender.failures > 1 || !navigator.onLine) {
            this.failed = true;
            display.show(this.outbox.isDurable() ? 'kept' : 'open');
        } else if (this.failed && !sender.failures && !sender.queue.length) {
            this.failed = false;
            display.show('back');
        } else if (!this.failed && display.shown !== 'back') {
            display.show('');
        }
    }

    /**
     * Sends what earlier pages of this attempt left in the browser.
     *
     * If something of it belongs on this page and is not there, the page is loaded again once it is saved, so that it is
     * restored with everything else: which answer is the newest is decided in the stream alone. Until then the form is held,
     * because submitting it would put the older answer over the newer one.
     *
     * @param {Object[]} left
     */
    async bringBack(left) {
        const [ours, others] = [[], []];
        const isOurs = ({type, slot, qa}) => type === 'help' ? this.help !== null : this.config.slots[slot]?.qa === qa;
        left.forEach(record => (isOurs(record) ? ours : others).push(record));
        this.outbox.remove(others);
        if (!ours.length) {
            return;
        }
        this.sender.resume(ours);
        ours.filter(record => record.type === 'help').forEach(record => this.help.adopt(record));
        await this.bringBackAnswers(ours.filter(record => record.type !== 'help'));
    }

    /**
     * Waits for the answers that an earlier page has left, if the page lacks one of them.
     *
     * @param {Object[]} ours
     */
    async bringBackAnswers(ours) {
        const newest = new Map(ours.map(record => [record.slot, record]));
        if (![...newest.values()].some(record => this.isMissing(record))) {
            return;
        }
        this.display.show('returning');
        this.form.inert = true;
        const end = performance.now() + HOLD;
        while (this.sender.queue.some(record => ours.includes(record)) && performance.now() < end) {
            await sleep(50);
        }
        if (!this.sender.queue.some(record => ours.includes(record))) {
            await sleep(FOLD);
            window.location.reload();
            return;
        }
        this.form.inert = false;
        this.display.show('');
        ours.forEach(record => this.since.set(record.slot, performance.now()));
        this.refresh();
    }

    /**
     * Whether a record of an earlier page says something else than this page shows, and not something older.
     *
     * @param {Object} record
     * @return {Boolean}
     */
    isMissing(record) {
        const {slot, fields} = record;
        const shown = this.collect().get(slot);
        const names = new Set([...Object.keys(shown ?? {}), ...Object.keys(fields)]);
        return shown !== undefined && shown[':sequencecheck'] === fields[':sequencecheck']
            && [...names].some(name => !OF_THE_PAGE.test(name) && shown[name] !== fields[name]);
    }
}

/**
 * Waits.
 *
 * @param {Number} milliseconds
 * @return {Promise}
 */
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

/**
 * The configuration of this page; where it has none, that of the attempt's last page in this tab.
 *
 * @return {Object|null}
 */
const configuration = () => {
    const element = document.getElementById('local-examstream-config');
    if (element) {
        keep(element.textContent);
        return JSON.parse(element.textContent);
    }
    const config = JSON.parse(recall() ?? 'null');
    const attempt = new URL(window.location.href).searchParams.get('attempt');
    // What was restored was said on that page.
    return config && String(config.attempt) === attempt ? {...config, restored: [], help: null, recalled: true} : null;
};

/**
 * Keeps a configuration for the pages of this tab, where the browser lets us.
 *
 * @param {String} json
 */
const keep = json => {
    try {
        sessionStorage.setItem(CONFIG, json);
    } catch (error) {
        // The summary does without.
    }
};

/**
 * The configuration that was kept.
 *
 * @return {String|null}
 */
const recall = () => {
    try {
        return sessionStorage.getItem(CONFIG);
    } catch (error) {
        return null;
    }
};

/**
 * Starts on a page of an attempt.
 */
export const init = async() => {
    try {
        const config = configuration();
        const form = document.getElementById('responseform');
        const place = form ?? document.querySelector('.quizsummaryofattempt')?.closest('[role=main], main, section');
        if (config && place && (form !== null) === !config.recalled) {
            await new Capture(config, form ?? document.createElement('form'), place).start();
        }
    } catch (error) {
        window.console.warn('local_examstream: answers are not streamed on this page', error);
    }
};
