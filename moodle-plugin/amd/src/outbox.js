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
 * What is not saved yet, kept in the browser until it is.
 *
 * Promises: a record that was put survives reload, crash and being offline until it is removed or expires; records of
 * another user of this site are deleted and never returned. Where the browser offers no IndexedDB, or refuses it, the
 * records live as long as the page: nothing else changes.
 *
 * @module     local_examstream/outbox
 * @copyright  2026 The Exam Stream contributors
 * @license    https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

const DATABASE = 'local_examstream';
const STORE = 'outbox';

/** Milliseconds for which a record is kept: long enough for a night offline, too short for next week's exam room. */
const LIFETIME = 48 * 3600 * 1000;

/**
 * The result of an IndexedDB request.
 *
 * @param {IDBRequest} request
 * @return {Promise}
 */
const result = request => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error('blocked'));
});

export default class Outbox {
    /**
     * @param {Object} config site, user and attempt whose records these are.
     */
    constructor(config) {
        this.owner = [config.site, config.user, config.attempt];
        this.database = null;
    }

    /**
     * Opens the outbox, deletes what must not stay, and returns what earlier pages of this attempt left.
     *
     * @return {Promise<Object[]>} records in the order in which they were made.
     */
    async open() {
        try {
            const request = indexedDB.open(DATABASE, 1);
            request.onupgradeneeded = () => request.result.createObjectStore(STORE, {keyPath: 'key'});
            this.database = await result(request);
            // Another version of this script must be able to change the database.
            this.database.onversionchange = () => this.database.close();
            const entries = await result(this.store('readonly').getAll());
            const [site, user, attempt] = this.owner;
            const [mine, dead] = [[], []];
            entries.forEach(entry => {
                const foreign = entry.key[0] === site && entry.key[1] !== user;
                if (foreign || entry.expires < Date.now()) {
                    dead.push(entry.key);
                } else if (entry.key[0] === site && entry.key[2] === attempt) {
                    mine.push(entry.record);
                }
            });
            this.change(store => dead.forEach(key => store.delete(key)));
            return mine.sort((a, b) => a.at - b.at || a.seq - b.seq);
        } catch (error) {
            this.database = null;
            return [];
        }
    }

    /**
     * Whether records outlive the page.
     *
     * @return {Boolean}
     */
    isDurable() {
        return this.database !== null;
    }

    /**
     * Keeps a record.
     *
     * @param {Object} record
     */
    put(record) {
        this.change(store => store.put({key: this.key(record), expires: Date.now() + LIFETIME, record}));
    }

    /**
     * Forgets records: they are saved, or can never be.
     *
     * @param {Object[]} records
     */
    remove(records) {
        this.change(store => records.forEach(record => store.delete(this.key(record))));
    }

    /**
     * The key of a record.
     *
     * @param {Object} record
     * @return {Array}
     */
    key(record) {
        return [...this.owner, record.page, record.seq];
    }

    /**
     * The object store, in a transaction of its own.
     *
     * @param {String} mode
     * @return {IDBObjectStore}
     */
    store(mode) {
        return this.database.transaction(STORE, mode).objectStore(STORE);
    }

    /**
     * Changes the store; if it cannot be changed, the records live as long as the page.
     *
     * @param {Function} work is given the store.
     */
    change(work) {
        if (!this.database) {
            return;
        }
        try {
            const store = this.store('readwrite');
            store.transaction.onabort = () => {
                this.database = null;
            };
            work(store);
        } catch (error) {
            this.database = null;
        }
    }
}
