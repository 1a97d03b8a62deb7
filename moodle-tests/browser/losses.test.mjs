// What is lost when a student's machine dies: stock Moodle and Moodle with the
// plugin, side by side in one run, on the same server at the same time.
//
// A case gives answers at set times, cuts the browser off, lets the student log
// in with a fresh profile, and compares what is on the screen then with what was
// on it before. Stock's losses are printed, not judged; ours must be none.

import assert from 'node:assert/strict';
import test from 'node:test';
import {Browser, SEVEN, configure, makeQuiz, sleep} from './harness.mjs';

const full = process.env.ES_FULL === '1';
const every = (seconds, n) => Array.from({length: n}, (_, i) => i * seconds);

/** Answers are given at these seconds to slots 1, 2, …; then comes the cut. */
const SHORT = [
    {name: 'killed 2 s after the last answer', at: every(0.4, 7), cut: 4.4},
    {name: 'window closed 2 s after the last answer', at: every(0.2, 7), cut: 3.2, how: 'close'},
    {name: 'network off, then Next pressed, back', at: every(1, 3), cut: 3, how: 'next'},
];
const ALONE = [
    {name: 'autosave period 0', at: every(0.15, 7), cut: full ? 142 : 4, period: 0},
];
// The longest first: when the last have arrived, none has come back yet.
const LONG = [
    {name: '300 s limit', at: [0, 124, 151, 178, 205, 232, 260], cut: 280, limit: 300},
    {name: '180 s limit', at: every(20, 6), cut: 151, limit: 180},
    {name: 'untimed, essay being typed', at: every(20, 6), cut: 125, type: 7},
    {name: 'untimed, answers every 17 s', at: every(17, 7), cut: 118},
    {name: 'untimed, answers every 10 s', at: every(10, 6), cut: 55},
    {name: 'untimed, answers every 2 s', at: every(2, 7), cut: 20},
];

/** One student after the other comes in: a small machine cannot log in a room at once. */
let door = Promise.resolve();
async function arrive(student, quiz, streamed) {
    const before = door;
    let shut;
    door = new Promise(resolve => {
        shut = resolve;
    });
    await before;
    try {
        const browser = await Browser.start();
        try {
            await browser.login(student);
            await browser.attempt(quiz, {streamed});
            return browser;
        } catch (error) {
            browser.kill();
            throw error;
        }
    } finally {
        shut();
    }
}

/** One browser through one case. */
async function suffer(quiz, student, {at, cut, how, type}, streamed) {
    const browser = await arrive(student, quiz, streamed);
    const autosaved = [];
    try {
        const start = Date.now();
        browser.page.on('requestfinished', request => request.url().includes('/autosave.ajax.php')
            && autosaved.push(Math.round((Date.now() - start) / 100) / 10));
        if (how === 'next') {
            await browser.network(false);
        }
        const typing = type && keepTyping(browser, type, start + cut * 1000 - 300);
        for (const [i, seconds] of at.entries()) {
            await sleep(Math.max(0, start + seconds * 1000 - Date.now()));
            await browser.answer(quiz, i + 1);
        }
        await typing;
        await sleep(Math.max(0, start + cut * 1000 - Date.now()));
        const before = await browser.readAll(quiz);
        const slots = Object.keys(before).filter(slot => slot <= at.length || Number(slot) === type);
        if (how === 'next') {
            await browser.page.click('input[name=next]', {noWaitAfter: true}).catch(() => null);
            await sleep(1500);
            await browser.network(true);
            await browser.page.goBack().catch(() => null);
            await browser.page.waitForSelector('#responseform');
            await browser.ready(streamed);
            // What was kept in the browser is sent, and the page loaded again.
            await sleep(streamed ? 3000 : 0);
            await browser.ready(streamed);
            return {lost: missing(slots, before, await browser.readAll(quiz)), of: slots.length, autosaved};
        }
        await (how === 'close' ? browser.close() : browser.kill());
        return {...await comeBack(quiz, student, slots, before, streamed), of: slots.length, autosaved};
    } finally {
        browser.kill();
    }
}

/** Types into an essay until a moment. */
async function keepTyping(browser, slot, end) {
    const area = browser.question(slot).locator('textarea');
    for (let i = 0; Date.now() < end; i++) {
        await area.evaluate((area, text) => {
            area.value += text;
            area.dispatchEvent(new InputEvent('input', {bubbles: true}));
        }, `word ${i}, `);
        await sleep(250);
    }
}

/** The student at another machine: what is on the screen there? */
async function comeBack(quiz, student, slots, before, streamed) {
    const browser = await arrive(student, quiz, streamed);
    try {
        return {lost: missing(slots, before, await browser.readAll(quiz))};
    } finally {
        browser.kill();
    }
}

const missing = (slots, before, after) => slots.filter(slot => before[slot] !== after[slot]);

const rows = [];
let student = 0;

/** A case on both. */
async function beside(spec) {
    const name = `student${String(1 + student++ % 20).padStart(2, '0')}`;
    const [stock, ours] = [false, true].map(stream => makeQuiz({
        name: `${spec.name}, ${stream ? 'streamed' : 'stock'}`, questions: SEVEN, stream, timelimit: spec.limit ?? 0,
        perpage: spec.how === 'next' ? 4 : 0,
    }));
    const results = await Promise.all([suffer(stock, name, spec, false), suffer(ours, name, spec, true)]);
    rows.push({
        case: spec.name,
        'cut at (s)': spec.cut,
        'stock autosaved at (s)': results[0].autosaved.join(', ') || '–',
        'stock lost': `${results[0].lost.length} of ${results[0].of}`,
        'ours lost': `${results[1].lost.length} of ${results[1].of}`,
    });
    assert.deepEqual(results[1].lost, [], `with the plugin, "${spec.name}" lost slots`);
}

test('no answer is lost with the plugin when the machine dies', {timeout: 900000}, async t => {
    for (const spec of ALONE) {
        await t.test(spec.name, async() => {
            configure({quiz: {autosaveperiod: spec.period}});
            try {
                await beside(spec);
            } finally {
                configure({quiz: {autosaveperiod: 60}});
            }
        });
    }
    // The long ones mostly wait: together they take as long as the longest.
    for (const together of full ? [SHORT, LONG] : [SHORT]) {
        const outcomes = await Promise.allSettled(together.map(beside));
        for (const [i, outcome] of outcomes.entries()) {
            await t.test(together[i].name, () => {
                if (outcome.status === 'rejected') {
                    throw outcome.reason;
                }
            });
        }
    }
    console.table(rows);
    console.log(stockLosses());
});

/** Says so if stock did not lose what it is known to lose: then the comparison measured something else. */
function stockLosses() {
    const spared = rows.filter(row => row['stock lost'].startsWith('0'));
    return spared.length ? `note: stock Moodle lost nothing in: ${spared.map(row => row.case).join('; ')}` : 'stock Moodle lost answers in each case';
}
