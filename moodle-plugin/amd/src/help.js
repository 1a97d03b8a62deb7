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
 * The student's side of the help desk: asks, shows how each call stands, and the answer wherever the student is in the
 * attempt.
 *
 * A call goes the way of an answer: through the outbox, so it survives reload, crash and being offline. What people wrote
 * is only ever set as text. An answer opens beside what the student does and takes no focus.
 *
 * @module     local_examstream/help
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/** Steps of a call that still waits for the desk. */
const OPEN = ['asked', 'taken', 'sending', 'unsent'];

/** Milliseconds for which a second click on Send is part of the first. */
const DOUBLE_CLICK = 1000;

export default class Help {
    /**
     * @param {Object} config the page's configuration.
     * @param {HTMLElement} section what the page has for it.
     * @param {Object} page what the page does.
     * @param {Function} page.send makes a record of what it is given and sends it; returns the record.
     * @param {Function} page.stateOf says of a record: sending, unsent, or sent.
     */
    constructor(config, section, {send, stateOf}) {
        Object.assign(this, {config, section, send, stateOf});
        this.tag = '';
        /** What the desk knows, by call. */
        this.calls = new Map();
        /** What was done here and the desk does not show yet: call => {record, step, text, slot}. */
        this.mine = new Map();
        this.shown = '';
        this.askedAt = -Infinity;
        this.part = name => section.querySelector(`[data-part=${name}]`);
        this.key = name => `local_examstream_${name}_${config.site}_${config.attempt}`;
    }

    /**
     * Puts the control on the page.
     *
     * @param {HTMLElement} after what it follows.
     */
    start(after) {
        const {text} = this;
        this.fillQuestions();
        after.after(this.section);
        text.value = recall(this.key('draft')) ?? '';
        text.addEventListener('input', () => keep(this.key('draft'), text.value));
        this.part('ask').addEventListener('click', () => this.toggle(this.part('panel').hidden));
        this.part('hide').addEventListener('click', () => this.toggle(false));
        this.part('send').addEventListener('click', () => this.ask());
        this.section.addEventListener('keydown', e => {
            if (e.key === 'Escape' && !this.part('panel').hidden) {
                this.toggle(false);
            }
        });
        this.hear(this.config.help);
        this.refresh();
    }

    /**
     * The field for the student's text.
     *
     * @return {HTMLTextAreaElement}
     */
    get text() {
        return this.section.querySelector('textarea');
    }

    /**
     * Lists the questions that a call may be about, by the names that Moodle's navigation gives them.
     */
    fillQuestions() {
        const select = this.section.querySelector('select');
        Object.entries(this.config.slots).filter(([, {qtype}]) => qtype !== 'description').forEach(([slot]) => {
            const name = this.nameOf(slot);
            if (name) {
                select.append(new Option(name, slot));
            }
        });
        this.part('questions').hidden = select.options.length === 1;
    }

    /**
     * The name of a question.
     *
     * @param {Number|String|null} slot
     * @return {String} '' if the page does not know.
     */
    nameOf(slot) {
        const button = slot && document.getElementById(`quiznavbutton${slot}`);
        const number = [...button?.childNodes ?? []].filter(node => node.nodeType === Node.TEXT_NODE)
            .map(node => node.textContent).join('').trim();
        return number && this.section.dataset.question.replace('{}', number);
    }

    /**
     * Shows or hides the panel.
     *
     * @param {Boolean} open
     */
    toggle(open) {
        const [panel, ask] = [this.part('panel'), this.part('ask')];
        panel.hidden = !open;
        ask.setAttribute('aria-expanded', String(open));
        if (open) {
            // Whoever opens the panel sees the answers in it.
            this.list().filter(call => call.step === 'answered').forEach(call => this.markRead(call));
            this.refresh();
            (this.part('form').hidden ? this.part('heading') : this.text).focus();
        } else {
            ask.focus();
        }
    }

    /**
     * Asks for help.
     */
    ask() {
        const {text} = this;
        if (performance.now() - this.askedAt < DOUBLE_CLICK) {
            return;
        }
        this.askedAt = performance.now();
        const select = this.section.querySelector('select');
        const call = {text: text.value.trim(), ...(select.value ? {slot: Number(select.value)} : {})};
        this.adopt(this.send(call));
        text.value = '';
        select.value = '';
        keep(this.key('draft'), '');
        this.part('heading').focus();
    }

    /**
     * Withdraws a call.
     *
     * @param {String} call
     */
    withdraw(call) {
        this.adopt(this.send({call}));
        this.part('heading').focus();
    }

    /**
     * Takes on a record that is on its way, also one that an earlier page has left.
     *
     * @param {Object} record
     */
    adopt(record) {
        const id = record.call ?? `${this.config.attempt}-${record.page}-${record.seq}`;
        const before = this.mine.get(id) ?? {};
        const step = record.call ? 'withdrawn' : 'asked';
        this.mine.set(id, {text: '', ...before, ...record, call: id, step, record});
        this.refresh();
    }

    /**
     * A record will never be saved.
     *
     * @param {Object} record
     */
    refuse(record) {
        const entry = [...this.mine.values()].find(mine => mine.record === record);
        if (entry && record.call) {
            this.mine.delete(entry.call);
        } else if (entry) {
            entry.step = 'refused';
        }
        this.refresh();
    }

    /**
     * The desk's news came with a reply.
     *
     * @param {Object|null} news tag and calls.
     */
    hear(news) {
        if (!news) {
            return;
        }
        const first = this.tag === '';
        this.tag = news.tag;
        const before = this.calls;
        this.calls = new Map(news.calls.map(call => [call.call, call]));
        this.calls.forEach((call, id) => {
            const mine = this.mine.get(id);
            if (mine && (mine.step !== 'withdrawn' || ['withdrawn', 'closed'].includes(call.step))) {
                this.mine.delete(id);
            }
            if (!first && call.step !== (before.get(id)?.step ?? 'asked')) {
                this.say(call);
            }
        });
        this.refresh();
    }

    /**
     * Reads out how a call stands.
     *
     * @param {Object} call
     */
    say(call) {
        const {news} = this.section.dataset;
        this.part('voice').textContent = call.step === 'answered' ? `${news}: ${call.answer ?? ''}` : this.wordsOf(call.step);
    }

    /**
     * What a step is called.
     *
     * @param {String} step
     * @return {String}
     */
    wordsOf(step) {
        return this.part('states').dataset[step];
    }

    /**
     * All calls as they stand, the newest first.
     *
     * @return {Object[]}
     */
    list() {
        const list = new Map([...this.calls].map(([id, call]) => [id, {...call}]));
        this.mine.forEach((mine, id) => {
            const state = mine.step === 'refused' ? 'sent' : this.stateOf(mine.record);
            // A withdrawal that is still on its way leaves the call as it stands: the desk may be looking after it.
            const step = mine.step === 'withdrawn' && state !== 'sent' ? list.get(id)?.step ?? state : mine.step;
            list.set(id, {
                asked: mine.record.at, ...mine, ...list.get(id), leaving: mine.step === 'withdrawn',
                step: state === 'sent' || mine.step === 'withdrawn' ? step : state,
            });
        });
        return [...list.values()].sort((a, b) => b.asked - a.asked);
    }

    /**
     * Whether a call waits, so that its answer may come at any moment.
     *
     * @return {Boolean}
     */
    isWaiting() {
        return this.list().some(call => ['asked', 'taken'].includes(call.step));
    }

    /**
     * What a request is to ask for.
     *
     * @return {Object} help: the tag that is known here; nothing while there is no call.
     */
    query() {
        return this.calls.size || this.mine.size || this.tag === '' ? {help: this.tag} : {};
    }

    /**
     * Remembers that an answer was read.
     *
     * @param {Object} call
     */
    markRead(call) {
        const read = new Set((recall(this.key('read')) ?? '').split(' '));
        keep(this.key('read'), [...read.add(`${call.call}@${call.ts}`)].join(' ').trim());
    }

    /**
     * Whether an answer was read.
     *
     * @param {Object} call
     * @return {Boolean}
     */
    isRead(call) {
        return (recall(this.key('read')) ?? '').split(' ').includes(`${call.call}@${call.ts}`);
    }

    /**
     * Shows how things stand, if that has changed.
     */
    refresh() {
        const list = this.list();
        const open = !this.part('panel').hidden;
        const news = open ? [] : list.filter(call => call.step === 'answered' && !this.isRead(call));
        const shown = JSON.stringify([list, news.length, open], (key, value) => key === 'record' ? undefined : value);
        if (shown === this.shown) {
            return;
        }
        this.shown = shown;
        const waiting = list.filter(call => OPEN.includes(call.step)).length;
        const {maxopen, maxcalls} = this.section.dataset;
        const [tooMany, tooOften] = [waiting >= maxopen, list.length >= maxcalls];
        this.part('form').hidden = tooMany || tooOften;
        this.part('toomanyopen').hidden = !tooMany || tooOften;
        this.part('toomanycalls').hidden = !tooOften;
        this.part('open').textContent = waiting ? `(${waiting})` : '';
        this.part('calls').hidden = !list.length;
        // The items are made anew: what had the focus must not take it away with it.
        const within = this.part('list').contains(document.activeElement) || this.part('news').contains(document.activeElement);
        this.part('list').replaceChildren(...list.map(call => this.item(call)));
        this.part('news').replaceChildren(...news.map(call => this.newsOf(call)));
        if (within) {
            (open ? this.part('heading') : this.part('ask')).focus();
        }
    }

    /**
     * A call in the list.
     *
     * @param {Object} call
     * @return {Element}
     */
    item(call) {
        const item = this.part('call').content.firstElementChild.cloneNode(true);
        const part = name => item.querySelector(`[data-part=${name}]`);
        item.dataset.call = call.call;
        item.dataset.step = call.step;
        part('state').textContent = this.wordsOf(call.step);
        part('about').textContent = this.nameOf(call.slot);
        part('time').textContent = call.asked ? timeOf(call.asked) : '';
        part('text').textContent = call.text ?? '';
        part('answered').hidden = call.answer === undefined || call.answer === null;
        part('answer').textContent = call.answer ?? '';
        part('withdraw').hidden = !OPEN.includes(call.step) || call.leaving === true;
        part('withdraw').addEventListener('click', () => this.withdraw(call.call));
        return item;
    }

    /**
     * An answer that was not read yet.
     *
     * @param {Object} call
     * @return {Element}
     */
    newsOf(call) {
        const item = this.part('item').content.firstElementChild.cloneNode(true);
        const part = name => item.querySelector(`[data-part=${name}]`);
        item.dataset.call = call.call;
        item.setAttribute('aria-label', this.section.dataset.news);
        part('answer').textContent = call.answer ?? '';
        part('read').addEventListener('click', () => {
            this.markRead(call);
            this.refresh();
        });
        return item;
    }
}

/**
 * A time of day as the page's reader writes it.
 *
 * @param {Number} seconds since 1970
 * @return {String}
 */
const timeOf = seconds => new Date(seconds * 1000)
    .toLocaleTimeString(document.documentElement.lang || [], {hour: '2-digit', minute: '2-digit'});

/**
 * Keeps something for the pages of this tab, where the browser lets us.
 *
 * @param {String} key
 * @param {String} value
 */
const keep = (key, value) => {
    try {
        sessionStorage.setItem(key, value);
    } catch (error) {
        // It is forgotten with the page.
    }
};

/**
 * What was kept.
 *
 * @param {String} key
 * @return {String|null}
 */
const recall = key => {
    try {
        return sessionStorage.getItem(key);
    } catch (error) {
        return null;
    }
};
