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
 * What the board knows, and in which order it is shown. Pure: no page, no clock, no network.
 *
 * A student has one row: that of their latest attempt, or none yet.
 *
 * @module     local_examstream/local/board/model
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/** Ends of an attempt: nobody waits for a sign of life any more. */
const ENDED = ['finished', 'overdue', 'abandoned'];

/** In which order states come: what calls for attention first. */
const STATUSES = ['gone', 'away', 'overdue', 'here', 'notstarted', 'abandoned', 'finished'];

/**
 * How far a call for help has come.
 *
 * @param {Object} steps of a call, by name.
 * @return {String} asked, taken, answered or closed.
 */
export const stepOf = steps => ['closed', 'answered', 'taken'].find(step => steps[step]) ?? 'asked';

/**
 * Letters without their accents: who types "kovacs" finds Kovács.
 *
 * @param {String} text
 * @return {String}
 */
const plain = text => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

export default class Model {
    /**
     * @param {Object} config
     * @param {Number} config.away seconds of silence from which a student is away.
     * @param {Number} config.gone seconds of silence from which a student is gone.
     * @param {String} config.locale in which names are sorted.
     */
    constructor({away, gone, locale}) {
        this.away = away;
        this.gone = gone;
        this.collator = new Intl.Collator(locale, {numeric: true});
        this.students = new Map();
        this.colleagues = new Map();
        this.asked = new Set();
        this.attempts = new Map();
        this.rows = new Map();
        this.signals = {};
        this.slots = 0;
    }

    /**
     * Takes students over.
     *
     * @param {Object} people as the web service returns them.
     * @param {Object[]} people.students
     * @param {Object[]} people.colleagues
     */
    meet({students, colleagues = []}) {
        students.forEach(student => {
            this.students.set(student.id, {...student, words: plain([student.name, ...student.identity].join(' '))});
            if (!this.rows.has(student.id)) {
                this.rows.set(student.id, null);
            }
        });
        colleagues.forEach(({id, name}) => this.colleagues.set(id, name));
    }

    /**
     * Takes changes over.
     *
     * @param {Object} changes as the web service returns them, decoded.
     */
    apply(changes) {
        const {rows, signals, reset} = changes;
        if (reset) {
            this.attempts.clear();
            this.rows.forEach((row, id) => this.rows.set(id, null));
        }
        rows.forEach(row => {
            if (row.erased) {
                this.erase(row.attempt);
                return;
            }
            this.attempts.set(row.attempt, row);
            this.slots = Math.max(this.slots, row.slots);
            if ((this.rows.get(row.student)?.attempt ?? 0) <= row.attempt) {
                this.rows.set(row.student, row);
            }
        });
        Object.assign(this.signals, signals);
    }

    /**
     * An attempt was erased: its student has the row of the attempt before, or none.
     *
     * @param {Number} attempt
     */
    erase(attempt) {
        const student = this.attempts.get(attempt)?.student;
        this.attempts.delete(attempt);
        if (this.rows.get(student)?.attempt === attempt) {
            const left = [...this.attempts.values()].filter(row => row.student === student);
            this.rows.set(student, left.sort((a, b) => b.attempt - a.attempt)[0] ?? null);
        }
    }

    /**
     * Users whose names are not known, and were not asked for; they count as asked for now.
     *
     * @param {Number} most
     * @return {Number[]}
     */
    strangers(most) {
        const ids = new Set(this.rows.keys());
        for (const {steps} of this.calls()) {
            [steps.taken, steps.answered].forEach(step => step?.by && ids.add(step.by));
        }
        const wanted = [...ids]
            .filter(id => !this.students.has(id) && !this.colleagues.has(id) && !this.asked.has(id)).slice(0, most);
        wanted.forEach(id => this.asked.add(id));
        return wanted;
    }

    /**
     * They could not be asked for.
     *
     * @param {Number[]} ids
     */
    forget(ids) {
        ids.forEach(id => this.asked.delete(id));
    }

    /**
     * A name.
     *
     * @param {Number} id of a user.
     * @return {String} their number, as long as the name is not known.
     */
    name(id) {
        return this.students.get(id)?.name ?? this.colleagues.get(id) ?? `#${id}`;
    }

    /**
     * How it is with an attempt.
     *
     * @param {Object|null} row
     * @param {Number} now seconds on the server's clock.
     * @return {String}
     */
    status(row, now) {
        if (!row) {
            return 'notstarted';
        }
        if (ENDED.includes(row.state)) {
            return row.state;
        }
        const silent = now - row.seen;
        if (silent > this.gone) {
            return 'gone';
        }
        return silent > this.away ? 'away' : 'here';
    }

    /**
     * Seconds that an attempt has left.
     *
     * @param {Object|null} row
     * @param {Number} now
     * @return {Number|null} null: there is no limit, or it is not known.
     */
    timeLeft(row, now) {
        const student = row && this.students.get(row.student);
        if (!student || ENDED.includes(row.state)) {
            return null;
        }
        // Of an attempt that was opened again the board does not know when it began.
        const limit = student.limit && row.state === 'started' ? row.statesince + student.limit : 0;
        const end = limit && student.close ? Math.min(limit, student.close) : limit || student.close;
        return end ? Math.max(0, end - now) : null;
    }

    /**
     * The signs of an attempt that somebody may want to look at.
     *
     * @param {Object|null} row
     * @return {Array[]} pairs of a name and a number; null where there is none.
     */
    static signs(row) {
        if (!row) {
            return [];
        }
        const signs = Object.entries(row.counts).filter(([name, count]) => count && !name.endsWith('_s'));
        if (row.sametime) {
            signs.push(['sametime', null]);
        }
        ['addresses', 'agents'].filter(name => row[name] > 1).forEach(name => signs.push([name, row[name]]));
        return [...signs, ...Object.keys(row.signals).map(name => [name, null])];
    }

    /**
     * The call of an attempt that waits longest for its next step; else the last one.
     *
     * @param {Object|null} row
     * @return {Object|null} id, steps and step.
     */
    static call(row) {
        const calls = Object.entries(row?.help ?? {}).filter(([, steps]) => steps.asked)
            .map(([id, steps]) => ({id, steps, step: stepOf(steps)}))
            .sort((a, b) => a.steps.asked.ts - b.steps.asked.ts);
        return calls.find(call => call.step === 'asked') ?? calls.find(call => call.step === 'taken') ?? calls.pop() ?? null;
    }

    /**
     * All calls for help, those that wait first, the longest waiting first.
     *
     * @return {Object[]} id, attempt, student, steps, step.
     */
    calls() {
        const calls = [];
        for (const row of this.attempts.values()) {
            for (const [id, steps] of Object.entries(row.help)) {
                if (steps.asked) {
                    calls.push({id, attempt: row.attempt, student: row.student, steps, step: stepOf(steps)});
                }
            }
        }
        const rank = {asked: 0, taken: 0, answered: 1, closed: 2};
        return calls.sort((a, b) => rank[a.step] - rank[b.step] || a.steps.asked.ts - b.steps.asked.ts);
    }

    /**
     * The rows that are shown, in their order, and how many there are of each kind.
     *
     * @param {Object} wanted
     * @param {String} wanted.filter a status, 'help', 'signals' or 'all'.
     * @param {Number|null} wanted.group
     * @param {String} wanted.text
     * @param {String} wanted.sort a column.
     * @param {Boolean} wanted.descending
     * @param {Number} now
     * @return {Object} rows: [{id, row, status}], counts: {filter: number}
     */
    view({filter, group, text, sort, descending}, now) {
        const words = plain(text.trim()).split(/\s+/);
        const counts = {all: 0, help: 0, signals: 0};
        const rows = [];
        for (const [id, row] of this.rows) {
            const student = this.students.get(id);
            if ((group && !student?.groups.includes(group)) || !words.every(word => (student?.words ?? `#${id}`).includes(word))) {
                continue;
            }
            const status = this.status(row, now);
            const kinds = ['all', status];
            if (['asked', 'taken'].includes(Model.call(row)?.step)) {
                kinds.push('help');
            }
            if (Model.signs(row).length) {
                kinds.push('signals');
            }
            kinds.forEach(kind => {
                counts[kind] = (counts[kind] ?? 0) + 1;
            });
            if (kinds.includes(filter)) {
                rows.push({id, row, status});
            }
        }
        const key = this.sortKey(sort, now);
        rows.forEach(entry => Object.assign(entry, {key: key(entry), name: this.name(entry.id)}));
        const direction = descending ? -1 : 1;
        const byName = sort ? 1 : direction;
        rows.sort((a, b) => direction * (Number(a.key > b.key) - Number(a.key < b.key))
            || byName * this.collator.compare(a.name, b.name) || a.id - b.id);
        return {rows, counts};
    }

    /**
     * What a column is sorted by. Numbers, the smallest of which comes first.
     *
     * @param {String} column '' is the name.
     * @param {Number} now
     * @return {Function}
     */
    sortKey(column, now) {
        const waiting = {asked: 0, taken: 1, answered: 2, closed: 3};
        return {
            status: ({status}) => STATUSES.indexOf(status),
            questions: ({row}) => -(row?.edited ?? 0),
            progress: ({row}) => row ? row.answered / Math.max(1, row.slots) : -1,
            timeleft: ({row}) => this.timeLeft(row, now) ?? Infinity,
            signals: ({row}) => -Model.signs(row).length,
            help: ({row}) => {
                const call = Model.call(row);
                return call ? waiting[call.step] * 1e11 + call.steps.asked.ts : Infinity;
            },
        }[column] ?? (() => 0);
    }
}
