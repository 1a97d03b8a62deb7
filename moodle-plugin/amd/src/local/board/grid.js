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
 * Draws the rows of the board that are seen, and no others: two thousand students cost as much as twenty.
 *
 * The grid itself has the focus and names its active cell (aria-activedescendant), because a row that is scrolled out of
 * sight is no longer there to have it. All texts are set as text.
 *
 * @module     local_examstream/local/board/grid
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/** Rows drawn above and below what is seen. */
const MARGIN = 4;

/** Pixels below which rows become cards. */
const NARROW = 720;

/** Pixels below which a question's number is no longer readable in its cell. */
const DENSE = 15;

/** The columns before and after the questions, whose cells are a column each. */
const BEFORE = ['student', 'status'];
const AFTER = ['progress', 'timeleft', 'signals', 'help'];

/**
 * Makes an element.
 *
 * @param {String} tag
 * @param {String} className
 * @param {Object} attributes
 * @return {HTMLElement}
 */
const make = (tag, className = '', attributes = {}) => {
    const element = document.createElement(tag);
    element.className = className;
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
};

/**
 * Sets a text or an attribute only where it differs: what stays the same is not drawn again.
 *
 * @param {HTMLElement} element
 * @param {String} text
 */
const setText = (element, text) => {
    if (element.textContent !== text) {
        element.textContent = text;
    }
};
const setAttribute = (element, name, value) => {
    if (value === null) {
        element.removeAttribute(name);
    } else if (element.getAttribute(name) !== String(value)) {
        element.setAttribute(name, value);
    }
};

export default class Grid {
    /**
     * @param {HTMLElement} root the grid.
     * @param {Object} does
     * @param {Function} does.describe from a row of the model's view to what its cells say.
     * @param {Function} does.open called with a row of the view and the column when a cell is opened; true: it was something.
     */
    constructor(root, {describe, open}) {
        this.root = root;
        this.head = root.querySelector('[data-region=head]');
        this.body = root.querySelector('[data-region=body]');
        this.describe = describe;
        this.open = open;
        this.rows = [];
        this.slots = 0;
        this.drawn = new Map();
        this.active = {id: null, column: 0};
        this.height = 0;
        root.addEventListener('scroll', () => this.draw(), {passive: true});
        root.addEventListener('keydown', event => this.key(event));
        root.addEventListener('focus', () => this.mark());
        root.addEventListener('click', event => this.click(event));
        new ResizeObserver(() => this.measure()).observe(root);
    }

    /**
     * Shows rows.
     *
     * @param {Object[]} rows of the model's view.
     * @param {Number} slots questions of the longest attempt.
     */
    show(rows, slots) {
        this.rows = rows;
        if (slots !== this.slots) {
            this.slots = slots;
            setAttribute(this.root, 'aria-colcount', BEFORE.length + slots + AFTER.length);
            AFTER.forEach((column, i) => setAttribute(this.head.querySelector(`[data-column=${column}]`), 'aria-colindex',
                BEFORE.length + slots + i + 1));
            setAttribute(this.head.querySelector('[data-column=questions]'), 'aria-colspan', Math.max(1, slots));
            this.drawn.forEach(({element}) => element.remove());
            this.drawn.clear();
            this.measure();
        }
        setAttribute(this.root, 'aria-rowcount', rows.length + 1);
        this.root.style.setProperty('--rows', rows.length);
        this.draw();
    }

    /**
     * Looks how large things are.
     */
    measure() {
        if (!this.root.clientWidth) {
            return;
        }
        this.root.classList.toggle('local-examstream-narrow', this.root.clientWidth < NARROW);
        this.height = parseFloat(getComputedStyle(this.root).getPropertyValue('--row')) || 48;
        const questions = this.head.querySelector('[data-column=questions]').clientWidth || this.root.clientWidth - 24;
        this.root.classList.toggle('local-examstream-dense', questions / Math.max(1, this.slots) < DENSE);
        this.draw();
    }

    /**
     * Draws what is seen.
     */
    draw() {
        if (!this.height || !this.root.clientHeight) {
            return;
        }
        const total = `${this.rows.length * this.height}px`;
        if (this.body.style.height !== total) {
            this.body.style.height = total;
        }
        const first = Math.max(0, Math.floor(this.root.scrollTop / this.height) - MARGIN);
        const last = Math.min(this.rows.length, Math.ceil((this.root.scrollTop + this.root.clientHeight) / this.height) + MARGIN);
        const seen = this.rows.slice(first, last);
        const wanted = new Set(seen.map(({id}) => id));
        this.drawn.forEach(({element}, id) => {
            if (!wanted.has(id)) {
                element.remove();
                this.drawn.delete(id);
            }
        });
        let before = null;
        seen.forEach((entry, i) => {
            const row = this.drawn.get(entry.id) ?? this.makeRow(entry.id);
            const top = `translateY(${(first + i) * this.height}px)`;
            if (row.element.style.transform !== top) {
                row.element.style.transform = top;
            }
            // Screen readers go by the order in the document.
            if ((before ? before.nextSibling : this.body.firstChild) !== row.element) {
                this.body.insertBefore(row.element, before ? before.nextSibling : this.body.firstChild);
            }
            before = row.element;
            setAttribute(row.element, 'aria-rowindex', first + i + 2);
            row.entry = entry;
            this.fill(row, this.describe(entry));
        });
        this.mark();
    }

    /**
     * An empty row.
     *
     * @param {Number} id of the student.
     * @return {Object}
     */
    makeRow(id) {
        const element = make('div', 'local-examstream-row', {role: 'row', 'data-id': id});
        const row = {element, cells: {}, questions: []};
        let index = 0;
        const cell = (column, parent = element, tag = 'div') => {
            const role = column === 'student' ? 'rowheader' : 'gridcell';
            index++;
            const made = make(tag, '', {role, 'data-column': column, 'aria-colindex': index});
            made.id = `local-examstream-${id}-${index}`;
            parent.append(made);
            return made;
        };
        const student = cell('student');
        row.name = make('a', 'local-examstream-name', {tabindex: -1});
        row.identity = make('small', 'local-examstream-identity text-muted');
        student.append(row.name, row.identity);
        const status = cell('status');
        row.dot = make('span', 'local-examstream-dot', {'aria-hidden': 'true'});
        row.cells.status = make('span');
        status.append(row.dot, row.cells.status);
        const strip = make('div', 'local-examstream-strip', {role: 'presentation', 'data-column': 'questions'});
        element.append(strip);
        for (let slot = 1; slot <= this.slots; slot++) {
            const question = cell('questions', strip, 'span');
            question.className = 'local-examstream-q';
            question.textContent = slot;
            row.questions.push(question);
        }
        AFTER.forEach(column => {
            row.cells[column] = cell(column);
        });
        const bar = make('span', 'local-examstream-bar', {'aria-hidden': 'true'});
        row.bar = make('span');
        bar.append(row.bar);
        const progress = make('span');
        row.cells.progress.append(progress, bar);
        row.cells.progress = progress;
        const help = make('button', 'badge border-0', {type: 'button', tabindex: -1, hidden: ''});
        row.cells.help.append(help);
        row.cells.help = help;
        this.drawn.set(id, row);
        return row;
    }

    /**
     * Writes a row's cells.
     *
     * @param {Object} row
     * @param {Object} said {@see does.describe}
     */
    fill(row, said) {
        setText(row.name, said.name);
        setAttribute(row.name, 'href', said.url || null);
        setText(row.identity, said.identity);
        setText(row.cells.status, said.status);
        setAttribute(row.dot, 'data-status', said.state);
        setAttribute(row.element, 'data-status', said.state);
        ['progress', 'timeleft', 'signals'].forEach(column => setText(row.cells[column], said[column]));
        setAttribute(row.cells.signals, 'title', said.signals || null);
        row.bar.parentNode.hidden = said.share === null;
        const width = `${said.share * 100}%`;
        if (row.bar.style.width !== width) {
            row.bar.style.width = width;
        }
        setText(row.cells.help, said.help);
        setAttribute(row.cells.help, 'hidden', said.help ? null : '');
        setAttribute(row.cells.help, 'data-step', said.step);
        row.questions.forEach((question, i) => {
            const {digit, flagged, title} = said.questions[i];
            setAttribute(question, 'data-digit', digit);
            setAttribute(question, 'data-flagged', flagged ? '1' : null);
            setAttribute(question, 'title', title || null);
            setAttribute(question, 'aria-label', title || null);
        });
    }

    /**
     * Marks the active cell, if it is drawn and the grid has the focus.
     */
    mark() {
        this.body.querySelectorAll('.local-examstream-active').forEach(cell => cell.classList.remove('local-examstream-active'));
        const focused = document.activeElement === this.root;
        const id = `local-examstream-${this.active.id ?? this.rows[0]?.id}-${this.active.column + 1}`;
        const cell = focused ? document.getElementById(id) : null;
        cell?.classList.add('local-examstream-active');
        setAttribute(this.root, 'aria-activedescendant', cell ? id : null);
    }

    /**
     * Goes to a cell.
     *
     * @param {Number} index of the row.
     * @param {Number} column
     */
    go(index, column) {
        if (!this.rows.length) {
            return;
        }
        const at = Math.min(Math.max(index, 0), this.rows.length - 1);
        this.active = {id: this.rows[at].id, column: Math.min(Math.max(column, 0), BEFORE.length + this.slots + AFTER.length - 1)};
        const top = at * this.height;
        const room = this.root.clientHeight - this.head.offsetHeight;
        if (top < this.root.scrollTop) {
            this.root.scrollTop = top;
        } else if (top + this.height > this.root.scrollTop + room) {
            this.root.scrollTop = top + this.height - room;
        }
        this.draw();
    }

    /**
     * Goes to a student.
     *
     * @param {Number} id
     */
    goTo(id) {
        this.root.focus();
        this.go(this.rows.findIndex(row => row.id === id), 0);
    }

    /**
     * The keys of a grid.
     *
     * @param {KeyboardEvent} event
     */
    key(event) {
        const index = Math.max(0, this.rows.findIndex(({id}) => id === this.active.id));
        const {column} = this.active;
        const page = Math.max(1, Math.floor(this.root.clientHeight / this.height) - 1);
        const forward = getComputedStyle(this.root).direction === 'rtl' ? -1 : 1;
        const whole = event.ctrlKey || event.metaKey;
        const moves = {
            ArrowDown: () => this.go(index + 1, column),
            ArrowUp: () => this.go(index - 1, column),
            ArrowRight: () => this.go(index, column + forward),
            ArrowLeft: () => this.go(index, column - forward),
            PageDown: () => this.go(index + page, column),
            PageUp: () => this.go(index - page, column),
            Home: () => this.go(whole ? 0 : index, 0),
            End: () => this.go(whole ? Infinity : index, Infinity),
            Enter: () => this.rows[index] && this.open(this.rows[index], this.columnName(column)),
        };
        if (event.target === this.root && moves[event.key] && !event.altKey) {
            event.preventDefault();
            moves[event.key]();
        }
    }

    /**
     * The name of a column.
     *
     * @param {Number} column its number, from 0.
     * @return {String}
     */
    columnName(column) {
        return BEFORE[column] ?? AFTER[column - BEFORE.length - this.slots] ?? 'questions';
    }

    /**
     * A click makes a cell the active one.
     *
     * @param {MouseEvent} event
     */
    click(event) {
        const cell = event.target.closest('[aria-colindex]');
        const row = this.drawn.get(Number(event.target.closest('[data-id]')?.dataset.id));
        if (!cell || !row) {
            return;
        }
        this.active = {id: row.entry.id, column: Number(cell.getAttribute('aria-colindex')) - 1};
        if (event.target.closest('button')) {
            this.open(row.entry, cell.dataset.column);
        } else if (!event.target.closest('a[href]')) {
            this.root.focus({preventScroll: true});
        }
        this.mark();
    }
}
