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
 * The calls for help: who waits, how long, and what is done about it.
 *
 * A call keeps its element as long as it is shown, so that an answer being typed survives every change around it. What
 * students and colleagues write is set as text.
 *
 * @module     local_examstream/local/board/queue
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

import Templates from 'core/templates';
import {duration} from 'local_examstream/local/board/format';

/** Colours of the steps, for both Bootstraps. */
const COLOURS = {
    asked: 'badge badge-danger bg-danger text-white',
    taken: 'badge badge-warning bg-warning text-dark',
    answered: 'badge badge-success bg-success text-white',
    closed: 'badge badge-secondary bg-secondary text-dark',
};

export default class Queue {
    /**
     * @param {HTMLElement} list
     * @param {Object} does
     * @param {Object} does.config of the page.
     * @param {Function} does.text from the name of a string and what it is about to the string.
     * @param {Function} does.now the server's time, in seconds.
     * @param {Function} does.time from a time in seconds to the time of day.
     * @param {Function} does.name from a user id to a name.
     * @param {Function} does.step takes a call, a step and a text; rejects with a sentence.
     */
    constructor(list, does) {
        Object.assign(this, does, {list, cards: new Map(), count: 0, turn: Promise.resolve()});
        list.addEventListener('click', event => this.click(event));
        list.addEventListener('submit', event => this.submit(event));
    }

    /**
     * Shows calls. One call of this after the other, because templates take their time.
     *
     * @param {Object[]} calls of the model, in their order.
     * @return {Promise}
     */
    show(calls) {
        this.turn = this.turn.then(() => this.arrange(calls)).catch(() => null);
        return this.turn;
    }

    /**
     * Puts the cards in order.
     *
     * @param {Object[]} calls
     */
    async arrange(calls) {
        const keys = new Set(calls.map(call => `${call.attempt}/${call.id}`));
        this.cards.forEach(({element}, key) => {
            if (!keys.has(key)) {
                element.remove();
                this.cards.delete(key);
            }
        });
        let before = null;
        for (const call of calls) {
            const key = `${call.attempt}/${call.id}`;
            const card = this.cards.get(key) ?? await this.make(key);
            card.call = call;
            this.fill(card);
            const typing = card.element.contains(document.activeElement);
            if (before?.nextElementSibling !== card.element && !(before === null && this.list.firstElementChild === card.element)) {
                // A card in which somebody types stays where it is: moving it would take the focus away.
                if (!typing || !card.element.parentNode) {
                    this.list.insertBefore(card.element, before ? before.nextElementSibling : this.list.firstElementChild);
                }
            }
            before = card.element;
        }
    }

    /**
     * An empty card.
     *
     * @param {String} key
     * @return {Object}
     */
    async make(key) {
        const {html} = await Templates.renderForPromise('local_examstream/help_call', {
            id: ++this.count, mayhelp: this.config.mayhelp, maxtext: this.config.maxtext,
        });
        const holder = document.createElement('template');
        holder.innerHTML = html.trim();
        const card = {element: holder.content.firstElementChild, shown: ''};
        card.element.dataset.key = key;
        this.cards.set(key, card);
        return card;
    }

    /**
     * Writes a card.
     *
     * @param {Object} card
     */
    fill(card) {
        const {call: {student, steps, step}, element} = card;
        const region = name => element.querySelector(`[data-region=${name}]`);
        this.tick(card);
        const by = steps[step]?.by;
        const held = this.now() < (steps.taken?.ts ?? 0) + this.config.held;
        const shown = JSON.stringify([steps, this.name(student), by && this.name(by), held]);
        if (card.shown === shown) {
            return;
        }
        card.shown = shown;
        region('student').textContent = this.name(student);
        region('question').textContent = steps.asked.slot ? this.text('question', steps.asked.slot) : '';
        region('step').className = COLOURS[step];
        region('step').textContent = by && ['taken', 'answered'].includes(step)
            ? this.text(`${step}by`, this.name(by)) : this.text(step);
        region('asked').textContent = steps.asked.text ?? '';
        region('answer').hidden = !steps.answered;
        region('answered').textContent = steps.answered?.text ?? '';
        region('answerer').textContent = steps.answered
            ? this.text('answerer', {name: this.name(steps.answered.by), time: this.time(steps.answered.ts)}) : '';
        if (this.config.mayhelp) {
            const mine = steps.taken?.by === this.config.me;
            const others = steps.taken && !mine && (steps.answered || held);
            element.querySelector('[data-step=taken]').hidden = !(step === 'asked' || (step === 'taken' && !mine && !held));
            element.querySelector('[data-step=answered]').hidden = step === 'closed' || Boolean(others);
            element.querySelector('[data-step=closed]').hidden = step === 'closed';
        }
    }

    /**
     * Writes how long a call waits.
     *
     * @param {Object} card
     */
    tick(card) {
        const {steps, step} = card.call;
        const when = card.element.querySelector('[data-region=when]');
        when.textContent = ['asked', 'taken'].includes(step)
            ? this.text('waiting', duration(this.now() - steps.asked.ts)) : this.time(steps.asked.ts);
        when.title = this.time(steps.asked.ts);
    }

    /**
     * A second has passed.
     */
    tickAll() {
        this.cards.forEach(card => card.call && this.tick(card));
    }

    /**
     * Goes to a call.
     *
     * @param {Number} attempt
     * @param {String} id
     */
    goTo(attempt, id) {
        const card = this.cards.get(`${attempt}/${id}`);
        card?.element.focus();
        card?.element.scrollIntoView({block: 'nearest'});
    }

    /**
     * A button of a card.
     *
     * @param {MouseEvent} event
     */
    click(event) {
        const button = event.target.closest('button');
        const card = this.cards.get(event.target.closest('[data-key]')?.dataset.key);
        if (!button || !card) {
            return;
        }
        if (button.dataset.action === 'cancel') {
            this.write(card, false);
        } else if (button.dataset.step === 'answered') {
            this.write(card, true);
        } else if (button.dataset.step) {
            this.act(card, button.dataset.step, '');
        }
    }

    /**
     * Opens or closes the form of an answer.
     *
     * @param {Object} card
     * @param {Boolean} open
     */
    write(card, open) {
        card.element.querySelector('[data-region=form]').hidden = !open;
        card.element.querySelector('[data-region=buttons]').hidden = open;
        card.element.querySelector(open ? 'textarea' : '[data-step=answered]').focus();
    }

    /**
     * An answer is sent.
     *
     * @param {SubmitEvent} event
     */
    async submit(event) {
        event.preventDefault();
        const card = this.cards.get(event.target.closest('[data-key]').dataset.key);
        const area = card.element.querySelector('textarea');
        if (area.value.trim() && await this.act(card, 'answered', area.value)) {
            area.value = '';
            this.write(card, false);
        }
    }

    /**
     * Does a step, and shows the sentence with which it is refused.
     *
     * @param {Object} card
     * @param {String} step
     * @param {String} text
     * @return {Promise<Boolean>} whether it was done.
     */
    async act(card, step, text) {
        const refused = card.element.querySelector('[data-region=refused]');
        const buttons = [...card.element.querySelectorAll('button')];
        buttons.forEach(button => {
            button.disabled = true;
        });
        try {
            await this.step(card.call, step, text);
            refused.hidden = true;
            return true;
        } catch (error) {
            refused.textContent = error.message;
            refused.hidden = false;
            return false;
        } finally {
            buttons.forEach(button => {
                button.disabled = false;
            });
        }
    }
}
