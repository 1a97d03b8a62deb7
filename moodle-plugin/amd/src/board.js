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
 * The live board: what happens in a quiz, as it happens.
 *
 * Asks every two seconds for what has changed, and draws what is seen of it. Reads out what calls for attention, a call
 * for help or the loss of the connection, and nothing else.
 *
 * @module     local_examstream/board
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

import Ajax from 'core/ajax';
import Log from 'core/log';
import Pending from 'core/pending';
import {getStrings} from 'core/str';
import {clock, duration} from 'local_examstream/local/board/format';
import Grid from 'local_examstream/local/board/grid';
import Model from 'local_examstream/local/board/model';
import Poller from 'local_examstream/local/board/poller';
import Queue from 'local_examstream/local/board/queue';

/** Milliseconds after which a request counts as lost. */
const TIMEOUT = 20000;

/** Names asked for at once; the web service takes no more. */
const MAX_NAMES = 500;

/** Milliseconds between two signs to Moodle that somebody sits here. */
const TOUCH = 300000;

/** Filters that are there even if nobody is like this. */
const ALWAYS = ['all', 'here', 'away', 'gone'];

/** Signs that have a name in the reader's language; the others are queries, by their own names. */
const SIGNS = ['hidden', 'pasted', 'copied', 'offline', 'sametime', 'addresses', 'agents'];

/** Strings of the plugin, by their names here. */
const STRINGS = {
    ...Object.fromEntries(['here', 'away', 'gone', 'notstarted', 'finished', 'overdue', 'abandoned']
        .map(name => [name, `board_status_${name}`])),
    ...Object.fromEntries(['0', '1', '2'].map(digit => [`answer${digit}`, `board_answer_${digit}`])),
    ...Object.fromEntries(['asked', 'taken', 'takenby', 'answered', 'answeredby', 'closed', 'waiting', 'answerer']
        .map(name => [name, `helpqueue_${name}`])),
    ...Object.fromEntries(['question', 'flagged', 'since', ...SIGNS, 'nobody', 'nobodyfound', 'trouble', 'back', 'call']
        .map(name => [name, `board_${name}`])),
};

/**
 * Calls a web service. A lost session is told, and does not throw away what is being typed.
 *
 * @param {String} methodname
 * @param {Object} args
 * @return {Promise}
 */
const ask = (methodname, args) => Ajax.call([{methodname, args}], true, true, true, TIMEOUT)[0];

class Board {
    /**
     * @param {HTMLElement} root
     */
    constructor(root) {
        this.root = root;
        this.config = JSON.parse(root.dataset.config);
        this.model = new Model(this.config);
        this.time = clock(this.config);
        this.wanted = {filter: 'all', group: null, text: '', sort: '', descending: false};
        this.ahead = 0;
        this.known = null;
        this.title = document.title;
    }

    /**
     * Loads the texts, then begins.
     */
    async start() {
        const names = Object.keys(STRINGS);
        const strings = await getStrings(names.map(name => ({key: STRINGS[name], component: 'local_examstream'})));
        this.strings = Object.fromEntries(names.map((name, i) => [name, strings[i]]));
        this.grid = new Grid(this.region('grid'), {
            describe: entry => this.describe(entry),
            open: (entry, column) => this.open(entry, column),
        });
        this.queue = new Queue(this.region('calls'), {
            config: this.config,
            text: (name, about) => this.text(name, about),
            now: () => this.now(),
            time: this.time,
            name: id => this.model.name(id),
            step: async({attempt, id}, step, text) => {
                await ask('local_examstream_help_step', {cmid: this.config.cmid, attempt, call: id, step, text});
                this.poller.now();
            },
        });
        this.listen();
        this.poller = new Poller({
            ask: async since => {
                const changes = await ask('local_examstream_get_board', {cmid: this.config.cmid, since});
                return {...changes, rows: JSON.parse(changes.rows), signals: JSON.parse(changes.signals)};
            },
            take: changes => this.take(changes),
            trouble: (error, wait) => this.trouble(error, wait),
        });
        this.meet([]);
        this.poller.now();
        setInterval(() => this.tick(), 1000);
        setInterval(() => document.hidden || ask('core_session_touch', {}).catch(error => Log.debug(error)), TOUCH);
    }

    /**
     * A part of the page.
     *
     * @param {String} name
     * @return {HTMLElement}
     */
    region(name) {
        return this.root.querySelector(`[data-region=${name}]`);
    }

    /**
     * A text.
     *
     * @param {String} name a key of STRINGS.
     * @param {String|Number|Object} about what it is about.
     * @return {String}
     */
    text(name, about = '') {
        // As text, whatever is in it: a replacement string would give meaning to $.
        return this.strings[name].replace(/\{\$a(?:->(\w+))?\}/g, (all, field) => String(field ? about[field] : about));
    }

    /**
     * The server's time.
     *
     * @return {Number} seconds
     */
    now() {
        return performance.now() / 1000 + this.ahead;
    }

    /**
     * Asks for names.
     *
     * @param {Number[]} ids none: of everybody who may take the quiz.
     */
    async meet(ids) {
        if (this.meeting) {
            this.model.forget(ids);
            return;
        }
        this.meeting = true;
        try {
            this.model.meet(await ask('local_examstream_get_board_students', {cmid: this.config.cmid, ids}));
            this.everybody = this.everybody || !ids.length;
            this.render();
        } catch (error) {
            Log.debug(error);
            this.model.forget(ids);
        }
        this.meeting = false;
    }

    /**
     * Takes changes over.
     *
     * @param {Object} changes
     */
    take(changes) {
        this.ahead = changes.now - performance.now() / 1000;
        this.model.apply(changes);
        this.loaded = this.loaded || !changes.more;
        this.heard = changes.now;
        const strangers = this.everybody ? this.model.strangers(MAX_NAMES) : [];
        if (strangers.length || !this.everybody) {
            this.meet(strangers);
        }
        this.announce();
        this.render();
    }

    /**
     * Reads out new calls for help.
     */
    announce() {
        const waiting = this.model.calls().filter(({step}) => step === 'asked');
        const keys = new Set(waiting.map(({attempt, id}) => `${attempt}/${id}`));
        const news = this.known ? waiting.filter(({attempt, id}) => !this.known.has(`${attempt}/${id}`)) : [];
        if (this.loaded) {
            this.known = keys;
        }
        if (news.length) {
            this.say(news.map(({student}) => this.text('call', this.model.name(student))).join(' '));
        }
        const badge = this.region('waiting');
        badge.hidden = !waiting.length;
        badge.textContent = waiting.length;
        document.title = waiting.length ? `(${waiting.length}) ${this.title}` : this.title;
    }

    /**
     * Reads out.
     *
     * @param {String} text
     */
    say(text) {
        this.region('voice').textContent = text;
    }

    /**
     * Says that there is no news, or that there is again.
     *
     * @param {Error|null} error
     * @param {Number} wait milliseconds until the next try.
     */
    trouble(error, wait) {
        const box = this.region('trouble');
        box.hidden = !error;
        if (error) {
            Log.debug(error);
            box.textContent = this.text('trouble', {
                time: this.heard ? this.time(this.heard) : '–',
                seconds: Math.ceil(wait / 1000),
                reason: error.message ?? '',
            });
        } else {
            this.say(this.text('back'));
        }
    }

    /**
     * Shows everything as it is now.
     */
    render() {
        if (!this.loaded) {
            return;
        }
        const {rows, counts} = this.model.view(this.wanted, this.now());
        this.root.querySelectorAll('[data-filter]').forEach(button => {
            const number = button.querySelector('[data-region=number]');
            number.textContent = counts[button.dataset.filter] ?? 0;
            button.hidden = !counts[button.dataset.filter] && this.wanted.filter !== button.dataset.filter
                && !ALWAYS.includes(button.dataset.filter);
        });
        this.grid.root.setAttribute('aria-busy', 'false');
        this.grid.root.hidden = !rows.length;
        this.grid.show(rows, this.model.slots);
        const empty = this.region('empty');
        empty.hidden = rows.length > 0;
        empty.textContent = this.text(this.model.rows.size ? 'nobodyfound' : 'nobody');
        this.showCalls();
        this.showSignals();
    }

    /**
     * Shows the queue.
     */
    showCalls() {
        const closed = this.root.querySelector('[data-action=closed]').checked;
        const all = this.model.calls();
        const calls = all.filter(({step}) => closed || step !== 'closed');
        // A help desk that was switched off still has its calls.
        this.region('help-tab').hidden = !this.config.helpdesk && !all.length;
        this.region('nocalls').hidden = calls.length > 0;
        this.queue.show(calls);
    }

    /**
     * Shows the signals about the quiz as a whole.
     */
    showSignals() {
        const signals = Object.entries(this.model.signals);
        const shown = JSON.stringify(signals);
        if (shown === this.shownSignals) {
            return;
        }
        this.shownSignals = shown;
        this.region('signals-tab').hidden = !signals.length;
        this.region('quizsignals').replaceChildren(...signals.flatMap(([name, {at, row}]) => {
            const [title, text] = [document.createElement('dt'), document.createElement('dd')];
            title.textContent = `${name} · ${this.time(at)}`;
            text.textContent = Object.entries(row ?? {}).map(([column, value]) => `${column}: ${value}`).join(' · ');
            return [title, text];
        }));
    }

    /**
     * A second has passed: times go on, here and in the queue.
     */
    tick() {
        if (this.loaded && !document.hidden) {
            this.grid.rows.forEach(entry => {
                entry.status = this.model.status(entry.row, this.now());
            });
            this.grid.draw();
            this.queue.tickAll();
        }
    }

    /**
     * What the cells of a row say.
     *
     * @param {Object} entry of the model's view.
     * @return {Object}
     */
    describe(entry) {
        const {id, row, status} = entry;
        const student = this.model.students.get(id);
        const call = Model.call(row);
        const left = this.model.timeLeft(row, this.now());
        const since = {gone: row?.seen, away: row?.seen, finished: row?.statesince, overdue: row?.statesince,
            abandoned: row?.statesince}[status];
        const questions = [];
        for (let i = 0; i < this.model.slots; i++) {
            const there = row && i < row.slots;
            const digit = there ? row.word[i] ?? '0' : '';
            const flagged = there && row.flags[i] === '1';
            questions.push({digit, flagged, title: there ? this.questionTitle(i + 1, digit, flagged) : ''});
        }
        return {
            name: this.model.name(id),
            url: row && this.config.storyurl ? `${this.config.storyurl}?attempt=${row.attempt}` : '',
            identity: student?.identity.filter(Boolean).join(' · ') ?? '',
            state: status,
            status: since ? this.text('since', {status: this.text(status), time: this.time(since)}) : this.text(status),
            questions,
            progress: row ? `${row.answered}/${row.slots}` : '',
            share: row ? row.answered / Math.max(1, row.slots) : null,
            timeleft: left === null ? '' : duration(left),
            signals: Model.signs(row).map(([name, number]) => this.signText(name, number)).join(' · '),
            help: call ? this.callText(call) : '',
            step: call?.step ?? '',
        };
    }

    /**
     * A sign of an attempt.
     *
     * @param {String} name
     * @param {Number|null} number
     * @return {String}
     */
    signText(name, number) {
        if (SIGNS.includes(name)) {
            return this.text(name, number);
        }
        return number === null ? name : `${name} ${number}`;
    }

    /**
     * How it is with a call for help, as long as it is not closed.
     *
     * @param {Object} call
     * @return {String}
     */
    callText(call) {
        return {
            asked: `${this.text('asked')} ${duration(this.now() - call.steps.asked.ts)}`,
            taken: `${this.text('taken')} ${duration(this.now() - call.steps.asked.ts)}`,
            answered: this.text('answered'),
        }[call.step] ?? '';
    }

    /**
     * What a question's cell says to those who cannot see it.
     *
     * @param {Number} slot
     * @param {String} digit
     * @param {Boolean} flagged
     * @return {String}
     */
    questionTitle(slot, digit, flagged) {
        const said = [this.text(`answer${digit}`), ...(flagged ? [this.text('flagged')] : [])];
        return `${this.text('question', slot)}: ${said.join(', ')}`;
    }

    /**
     * A cell was opened: the story of an attempt, or its call for help.
     *
     * @param {Object} entry
     * @param {String} column
     */
    async open(entry, column) {
        const {row} = entry;
        const call = Model.call(row);
        if (column === 'help' && call) {
            this.root.querySelector('#local-examstream-tab-help').click();
            await this.queue.turn;
            this.queue.goTo(row.attempt, call.id);
        } else if (row && this.config.storyurl) {
            window.location = `${this.config.storyurl}?attempt=${row.attempt}`;
        }
    }

    /**
     * Filters, sorting and tabs.
     */
    listen() {
        const want = wanted => {
            Object.assign(this.wanted, wanted);
            this.grid.root.scrollTop = 0;
            this.render();
        };
        this.root.addEventListener('click', event => {
            const {filter} = event.target.closest('[data-filter]')?.dataset ?? {};
            const {sort} = event.target.closest('[data-sort]')?.dataset ?? {};
            if (filter) {
                this.root.querySelectorAll('[data-filter]').forEach(button => {
                    button.classList.toggle('active', button.dataset.filter === filter);
                    button.setAttribute('aria-pressed', button.dataset.filter === filter);
                });
                want({filter});
            } else if (sort) {
                this.sortBy(sort, want);
            }
        });
        this.root.addEventListener('input', event => {
            if (event.target.dataset.action === 'search') {
                want({text: event.target.value});
            }
        });
        this.root.addEventListener('change', event => {
            const {action} = event.target.dataset;
            if (action === 'group') {
                want({group: Number(event.target.value) || null});
            } else if (action === 'sort') {
                this.wanted.descending = true;
                this.sortBy(event.target.value, want);
            } else if (action === 'closed') {
                this.showCalls();
            }
        });
        this.showOrder();
    }

    /**
     * Sorts by a column; by the same one again: the other way.
     *
     * @param {String} column
     * @param {Function} want
     */
    sortBy(column, want) {
        const sort = column === 'student' ? '' : column;
        want({sort, descending: sort === this.wanted.sort && !this.wanted.descending});
        this.showOrder();
    }

    /**
     * Says by which column the rows are sorted.
     */
    showOrder() {
        const sorted = this.wanted.sort || 'student';
        this.root.querySelector('[data-action=sort]').value = sorted;
        this.grid.head.querySelectorAll('[data-column]').forEach(header => {
            if (header.dataset.column === sorted) {
                header.setAttribute('aria-sort', this.wanted.descending ? 'descending' : 'ascending');
            } else {
                header.removeAttribute('aria-sort');
            }
        });
    }
}

/**
 * Begins.
 */
export const init = async() => {
    const pending = new Pending('local_examstream/board');
    await new Board(document.querySelector('.local-examstream-board')).start();
    pending.resolve();
};
