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
 * Brings records to the server: in order, one request at a time, until each is saved.
 *
 * Promises: a record leaves the queue and the outbox only when the server has said that it is saved, or that it can never
 * be. Failures are retried with full jitter, so that a room whose network comes back does not arrive as one. When the page
 * is left, what is waiting goes out beside the request that may be under way, as far as browsers allow.
 *
 * @module     local_examstream/sender
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

import Config from 'core/config';

/** Browsers let 64 KiB of keepalive bodies be under way at once (Fetch standard); the token and the names have to fit too. */
const KEEPALIVE_BYTES = 60000;

/** A usual request leaves room for the one that is made when the page is left. */
const USUAL_KEEPALIVE_BYTES = 20000;

/** Bytes of records in one request; a single larger one goes alone. */
const BATCH_BYTES = 300000;

/** Milliseconds until a request counts as lost. */
const TIMEOUT = 20000;

/** Milliseconds of the first pause after a failure, and of the longest. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [1000, 30000];

/** Milliseconds without a reply after which news of the help desk are asked for; it is looked at each second. */
const POLL = 1500;

const encoder = new TextEncoder();

/**
 * The bytes of a string on the wire.
 *
 * @param {String} text
 * @return {Number}
 */
export const bytes = text => encoder.encode(text).length;

/**
 * Whether a record is an answer, of a slot if one is given.
 *
 * @param {Object} record
 * @param {Number|null} slot
 * @return {Boolean}
 */
const isAnswer = (record, slot = null) => record.type === 'answer' && (slot === null || record.slot === slot);

export default class Sender {
    /**
     * @param {Object} config the page's configuration.
     * @param {Clock} clock
     * @param {Outbox} outbox
     * @param {Object} page what the page does.
     * @param {Function} page.signal makes the record that is a sign of life.
     * @param {Boolean} page.marked whether it brings something that other records do not.
     * @param {Function} page.changed is called after whatever happened to a record.
     * @param {Function} page.dropped is called with a record, no answer, that can never be saved.
     * @param {Object|null} page.help the help desk: whether it waits, what it asks for, and what it hears.
     */
    constructor(config, clock, outbox, {signal, marked, changed, dropped, help}) {
        Object.assign(this, {config, clock, outbox, signal, marked, changed, dropped, help});
        this.queue = [];
        this.flying = new Set();
        this.requests = 0;
        /** When records were made that are to be timed again. */
        this.moments = new WeakMap();
        this.failures = 0;
        this.timer = null;
        // The first reply tells the time better than the page could: it is asked for at once.
        this.heard = -Infinity;
        this.lived = -Infinity;
        this.batchBytes = BATCH_BYTES;
        /** Why the server takes nothing more: '', 'token' or 'finished'. */
        this.refusal = '';
        /** Slots whose last record can never be saved. */
        this.refused = new Set();
    }

    /**
     * Takes a record that is to be kept until it is saved.
     *
     * @param {Object} record
     */
    add(record) {
        if (isAnswer(record)) {
            this.refused.delete(record.slot);
        }
        if (bytes(JSON.stringify(record)) > this.config.maxrecord - 1024) {
            this.refuse(record);
            this.changed();
            return;
        }
        if (isAnswer(record)) {
            // What waits for a connection need not hold each step of typing: the first and the last are kept.
            const waiting = this.queue.filter(other => isAnswer(other, record.slot) && !this.flying.has(other));
            if (waiting.length > 1) {
                this.forget(waiting.slice(-1));
            }
        }
        if (this.clock.doubtful) {
            this.moments.set(record, performance.now());
        }
        this.queue.push(record);
        this.outbox.put(record);
        this.changed();
        this.send();
    }

    /**
     * Takes what earlier pages left.
     *
     * @param {Object[]} records
     */
    resume(records) {
        this.queue.unshift(...records);
        this.changed();
        this.send();
    }

    /**
     * Whether something of a slot is not saved.
     *
     * @param {Number} slot
     * @return {Boolean}
     */
    isWaiting(slot) {
        return this.queue.some(record => isAnswer(record, slot));
    }

    /**
     * Whether an answer is not saved.
     *
     * @return {Boolean}
     */
    hasUnsaved() {
        return this.refused.size > 0 || this.queue.some(record => isAnswer(record));
    }

    /**
     * Sends what waits, unless a request is under way or a pause is on.
     */
    send() {
        if (this.requests === 0 && this.timer === null && this.refusal !== 'finished') {
            this.request(this.batch(this.batchBytes));
        }
    }

    /**
     * Asks the server if nothing was heard of it for a while.
     */
    live() {
        if (this.isDue()) {
            this.send();
        }
    }

    /**
     * Whether it is time for a request even if there is nothing to save.
     *
     * @return {Boolean}
     */
    isDue() {
        const alive = this.config.aliveseconds * 1000;
        const polls = this.help?.isWaiting() && document.visibilityState === 'visible';
        return performance.now() - this.heard >= (polls ? Math.min(POLL, alive) : alive);
    }

    /**
     * The page is left or hidden: sends what waits beside what is under way.
     */
    leave() {
        const under = [...this.flying].reduce((sum, record) => sum + bytes(JSON.stringify(record)) + 1, this.flying.size && 1000);
        const room = KEEPALIVE_BYTES - under - bytes(this.config.token ?? '') - 1000;
        const records = this.batch(room, true).filter(record => bytes(JSON.stringify(record)) <= room);
        if (records.length && this.refusal !== 'finished') {
            this.request(records, true);
        }
    }

    /**
     * The connection may be back: no need to wait out a long pause.
     */
    hurry() {
        if (this.timer !== null) {
            this.pause(Math.random() * FIRST_PAUSE);
        }
    }

    /**
     * The next records to send, at least one if any waits.
     *
     * @param {Number} limit bytes
     * @param {Boolean} newest whether the newest are to be preferred if not all fit.
     * @return {Object[]} in order.
     */
    batch(limit, newest = false) {
        const waiting = this.queue.filter(record => !this.flying.has(record));
        if (newest) {
            waiting.reverse();
        }
        let size = 0;
        const batch = waiting.slice(0, 400).filter((record, i) => {
            size += bytes(JSON.stringify(record)) + 1;
            return i === 0 || size <= limit;
        });
        return newest ? batch.reverse() : batch;
    }

    /**
     * Makes one request of records; of none but a sign of life if it is time for one.
     *
     * @param {Object[]} records
     * @param {Boolean} leaving
     */
    async request(records, leaving = false) {
        if (!records.length && !this.isDue()) {
            return;
        }
        records.forEach(record => this.flying.add(record));
        this.requests++;
        let reply;
        try {
            reply = await this.ask(records, leaving);
        } catch (error) {
            reply = {status: 0, body: {}};
        }
        this.requests--;
        records.forEach(record => this.flying.delete(record));
        this.hear(reply, records);
        this.changed();
    }

    /**
     * Sends records and a sign of life; asks for the time first if the clock is doubtful.
     *
     * @param {Object[]} records
     * @param {Boolean} leaving there is no time to ask for the time.
     * @return {Promise<Object>} the reply.
     */
    async ask(records, leaving) {
        if (this.clock.doubtful && !leaving) {
            const reply = await this.post([]);
            if (reply.status !== 200) {
                return reply;
            }
            this.clock.hear(reply.body.now);
            records.forEach(record => this.retime(record));
        }
        const old = performance.now() - this.lived >= this.config.aliveseconds * 1000;
        const signal = this.signal(old && (this.marked || records.length === 0));
        const reply = await this.post(signal ? [...records, signal] : records, leaving);
        if (reply.status === 200 && (signal || (records.length && !this.marked))) {
            this.lived = performance.now();
        }
        return reply;
    }

    /**
     * Times a record again that was made while the clock was doubtful.
     *
     * @param {Object} record
     */
    retime(record) {
        if (this.moments.has(record)) {
            record.at = this.clock.at(this.moments.get(record));
            this.moments.delete(record);
            this.outbox.put(record);
        }
    }

    /**
     * Acts on a reply.
     *
     * @param {Object} reply
     * @param {Object[]} records
     */
    hear(reply, records) {
        const {status, body, retryAfter} = reply;
        if (Number.isFinite(body.now)) {
            this.clock.hear(body.now);
        }
        if (status === 200) {
            this.heard = performance.now();
            this.failures = 0;
            this.refusal = '';
            this.forget(records);
            this.help?.hear(body.help);
            this.send();
            return;
        }
        if (status === 410) {
            this.refusal = 'finished';
            this.forget(this.queue);
            return;
        }
        if (status === 400 && records[body.index]) {
            this.refuse(records[body.index]);
            this.send();
            return;
        }
        if ((status === 413 || (status === 400 && body.index === -1)) && records.length) {
            // Too large, or unreadable as a whole: no other record waits for ever behind the one that is at fault.
            this.batchBytes /= 4;
            if (records.length === 1) {
                this.refuse(records[0]);
            }
            this.send();
            return;
        }
        this.refusal = status === 403 ? 'token' : '';
        this.forget(records.slice(0, body.saved ?? 0));
        this.failures++;
        const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.failures);
        this.pause((retryAfter ?? 0) * 1000 + Math.random() * longest);
    }

    /**
     * Waits before the next request.
     *
     * @param {Number} milliseconds
     */
    pause(milliseconds) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => {
            this.timer = null;
            this.send();
        }, milliseconds);
    }

    /**
     * A record that the server will never take.
     *
     * @param {Object} record
     */
    refuse(record) {
        this.forget([record]);
        if (isAnswer(record)) {
            this.refused.add(record.slot);
        } else {
            this.dropped(record);
        }
    }

    /**
     * Takes records out of queue and outbox.
     *
     * @param {Object[]} records
     */
    forget(records) {
        const gone = new Set(records);
        this.outbox.remove(records);
        this.queue = this.queue.filter(record => !gone.has(record));
    }

    /**
     * One POST through the door that the site has chosen.
     *
     * @param {Object[]} records
     * @param {Boolean} leaving
     * @return {Promise<Object>} status, body and, in seconds, retryAfter; whatever is not a reply of ours throws.
     */
    async post(records, leaving = false) {
        const {mode, url, token, attempt} = this.config;
        const inner = {sent: this.clock.at(), records, ...this.help?.query()};
        const text = mode === 'ws'
            ? JSON.stringify([{index: 0, methodname: 'local_examstream_put', args: {attempt, body: JSON.stringify(inner)}}])
            : JSON.stringify({token, ...inner});
        const target = mode === 'ws'
            ? `${Config.wwwroot}/lib/ajax/service.php?sesskey=${Config.sesskey}&info=local_examstream_put`
            : url;
        const abort = new AbortController();
        const timer = setTimeout(() => abort.abort(), TIMEOUT);
        try {
            const response = await fetch(target, {
                method: 'POST',
                body: text,
                headers: {'Content-Type': 'application/json'},
                cache: 'no-store',
                keepalive: bytes(text) <= (leaving ? KEEPALIVE_BYTES : USUAL_KEEPALIVE_BYTES),
                signal: abort.signal,
            });
            const body = await response.json();
            return mode === 'ws' ? this.unwrap(body) : this.check({
                status: response.status,
                body,
                retryAfter: Number(response.headers.get('Retry-After')) || 0,
            });
        } finally {
            clearTimeout(timer);
        }
    }

    /**
     * The door's reply in the reply of Moodle's web service.
     *
     * @param {Array} replies
     * @return {Object}
     */
    unwrap(replies) {
        const [{error, exception, data}] = replies;
        if (error) {
            const login = ['servicerequireslogin', 'invalidsesskey', 'requireloginerror'].includes(exception?.errorcode);
            return {status: login ? 403 : 500, body: {}};
        }
        return this.check({status: data.status, body: JSON.parse(data.json)});
    }

    /**
     * Throws unless this is a reply of the plugin: a portal that wants a password also says 200.
     *
     * @param {Object} reply
     * @return {Object}
     */
    check(reply) {
        if (reply.status === 200 && !Number.isInteger(reply.body?.saved)) {
            throw new Error('not a reply of the plugin');
        }
        return {...reply, body: reply.body ?? {}};
    }
}
