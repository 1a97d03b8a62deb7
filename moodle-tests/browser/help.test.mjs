// The student's side of the help desk in a real browser. The other side of the
// desk is played by records that are put through the extension, as its pages do.

import assert from 'node:assert/strict';
import test from 'node:test';
import {Browser, SEVEN, attemptOf, configure, makeQuiz, put, sleep, streamed, until} from './harness.mjs';

const timeout = 240000;
/** Milliseconds within which the student sees what the desk did. */
const WITHIN = 3000;
let student = 0;

/** Runs a test with a student of its own in a quiz with a help desk. */
function help(name, spec, run) {
    test(name, {timeout}, async() => {
        const username = `student${String(1 + student++ % 20).padStart(2, '0')}`;
        const quiz = makeQuiz({name, questions: SEVEN, perpage: 4, switches: {helpdesk: 1}, ...spec});
        const browsers = [];
        const enter = async(options = {}) => {
            const browser = await Browser.start(options);
            browsers.push(browser);
            await browser.login(username);
            await browser.attempt(quiz);
            return browser;
        };
        try {
            await run({quiz, enter});
            browsers.forEach(browser => assert.deepEqual(browser.errors, [], 'errors in the page'));
        } finally {
            browsers.forEach(browser => browser.kill());
        }
    });
}

const part = (browser, name) => browser.page.locator(`.local-examstream-help [data-part=${name}]`);
const calls = browser => browser.page.locator('.local-examstream-call').evaluateAll(items => items.map(item => ({
    step: item.dataset.step,
    text: item.querySelector('[data-part=text]').textContent,
    about: item.querySelector('[data-part=about]').textContent,
    answer: item.querySelector('[data-part=answered]').hidden ? null : item.querySelector('[data-part=answer]').textContent,
})));
const steps = async browser => (await calls(browser)).map(call => call.step).join(' ');
const news = browser => browser.page.locator('.local-examstream-news [data-part=answer]').allTextContents();

/** Opens the panel if it is not open. */
async function open(browser) {
    if (await part(browser, 'panel').isHidden()) {
        await part(browser, 'ask').click();
    }
}

/** Asks for help by hand. */
async function ask(browser, text = '', slot = null) {
    await open(browser);
    await browser.page.fill('#local-examstream-text', text);
    if (slot) {
        await browser.page.selectOption('#local-examstream-slot', String(slot));
    }
    await part(browser, 'send').click();
}

/** The records of calls that the student's pages have put, once the store of records has `n`. */
async function asked(browser, n = 1) {
    const attempt = attemptOf(browser);
    const found = () => streamed(attempt).filter(record => record.type === 'help');
    await until(`${n} records of calls are in the stream`, () => found().length >= n);
    return found();
}

/** Somebody at the desk takes a step of a call. */
function desk({site, quiz, attempt, usage, student_id: student, call}, step, text) {
    const now = Date.now() / 1000;
    put([{v: 1, id: `${call}-${step}`, type: 'help', ts: now, at: now, site, quiz, attempt, usage, student_id: student,
        page: '0005f0c3a1b2c3d4-01234567.00000000', seq: 1, call, step, by: 2, ...(text === undefined ? {} : {text})}]);
    return performance.now();
}

/** Waits until something is shown, and says how long after `since` that was. */
async function within(what, since, condition) {
    await until(what, condition);
    const took = performance.now() - since;
    console.log(`  ${what}: after ${(took / 1000).toFixed(2)} s`);
    assert.ok(took < WITHIN, `${what}: after ${took} ms`);
}

help('asked, taken, answered, closed: shown within 3 s, on whatever page of the attempt, and after a reload', {}, async({enter}) => {
    const browser = await enter();
    const {page} = browser;
    await ask(browser, 'The picture of question 2 is missing.', 2);
    await until('it is shown as waiting', async() => await steps(browser) === 'asked');
    assert.deepEqual(await calls(browser), [
        {step: 'asked', text: 'The picture of question 2 is missing.', about: 'Question 2', answer: null}]);
    const [record] = await asked(browser);
    assert.equal(record.slot, 2);
    let since = desk(record, 'taken');
    await within('taken', since, async() => await steps(browser) === 'taken');

    await Promise.all([page.waitForURL(/page=1/), page.click('input[name=next]')]);
    await browser.ready();
    assert.deepEqual(await news(browser), []);
    since = desk(record, 'answered', 'It is there now. Reload the page.');
    await within('answered, on another page', since, async() => (await news(browser)).length === 1);
    assert.deepEqual(await news(browser), ['It is there now. Reload the page.']);
    assert.match(await part(browser, 'voice').textContent(), /has answered: It is there now/);

    await page.reload();
    await browser.ready();
    assert.deepEqual(await news(browser), ['It is there now. Reload the page.']);
    await page.click('.local-examstream-news [data-part=read]');
    assert.deepEqual(await news(browser), []);
    await page.reload();
    await browser.ready();
    assert.deepEqual(await news(browser), []);
    await open(browser);
    assert.equal((await calls(browser))[0].answer, 'It is there now. Reload the page.');

    // Another call, and the summary of the attempt.
    await ask(browser, 'And question 5?');
    const second = (await asked(browser, 4)).find(other => other.text === 'And question 5?');
    await Promise.all([page.waitForURL(/summary\.php/), page.click('input[name=next]')]);
    await page.waitForSelector('.local-examstream-ask');
    since = desk(second, 'answered', 'Read it again.');
    await within('answered, on the summary', since, async() => (await news(browser)).includes('Read it again.'));
    await page.goBack();
    await browser.ready();
    since = desk(second, 'closed');
    await open(browser);
    assert.equal(await steps(browser), 'answered answered');
});

help('closed without an answer: shown within 3 s', {}, async({enter}) => {
    const browser = await enter();
    await open(browser);
    // A hand that is used to double-clicking asks once.
    await part(browser, 'send').dblclick();
    const [record] = await asked(browser);
    const since = desk(record, 'closed');
    await within('closed', since, async() => await steps(browser) === 'closed');
    assert.equal((await asked(browser)).filter(({step}) => step === 'asked').length, 1);
});

help('texts of both sides are shown as text', {}, async({enter}) => {
    const browser = await enter();
    const nasty = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\n&lt;b&gt; \u202Eright to left\u202C \u05E9\u05DC\u05D5\u05DD {{x}} ';
    const long = (nasty + '\u{1f438}'.repeat(5)).padEnd(10000, 'xyz ').trim();
    await ask(browser, long);
    const [record] = await asked(browser);
    assert.equal(record.text, long);
    desk(record, 'answered', nasty + 'a'.repeat(10000 - nasty.length));
    await until('it is answered', async() => (await calls(browser))[0]?.answer);
    const [call] = await calls(browser);
    assert.equal(call.text, long);
    assert.equal(call.answer, nasty + 'a'.repeat(10000 - nasty.length));
    await browser.page.reload();
    await browser.ready();
    assert.equal((await news(browser))[0], call.answer);
    assert.equal(await browser.page.evaluate(() => window.pwned), undefined);
    assert.equal(await browser.page.locator('.local-examstream-text *').count(), 0);
    assert.ok(await browser.page.evaluate(() => document.scrollingElement.scrollWidth <= window.innerWidth), 'wider than the screen');
});

help('asked while offline: kept through a crash, sent later, once', {}, async({enter}) => {
    const browser = await enter();
    const attempt = attemptOf(browser);
    await browser.network(false);
    await ask(browser, 'Is the network gone?');
    await until('it is shown as not sent', async() => await steps(browser) === 'unsent');
    await sleep(1000);
    browser.kill();
    const again = await enter({profile: browser.profile});
    await open(again);
    await until('it is shown as waiting', async() => await steps(again) === 'asked');
    const records = await asked(again);
    assert.deepEqual([...new Set(records.map(record => record.id))].length, 1);
    assert.equal(records[0].attempt, attempt);
    assert.equal(records[0].text, 'Is the network gone?');
});

help('three calls wait at most; withdrawing one makes room', {}, async({enter}) => {
    const browser = await enter();
    for (const text of ['one', 'two', 'three']) {
        await ask(browser, text);
        await sleep(1100);
    }
    await until('all wait', async() => await steps(browser) === 'asked asked asked');
    assert.ok(await part(browser, 'form').isHidden());
    assert.match(await part(browser, 'toomanyopen').textContent(), /3 of your calls are waiting/);
    // The desk's own figures say so, too.
    await asked(browser, 3);
    await sleep(500);
    await browser.page.reload();
    await browser.ready();
    await open(browser);
    assert.ok(await part(browser, 'form').isHidden());
    await browser.page.locator('.local-examstream-call [data-part=withdraw]').first().click();
    await until('one is withdrawn', async() => await steps(browser) === 'withdrawn asked asked');
    await part(browser, 'form').waitFor({state: 'visible'});
    const records = await asked(browser, 4);
    assert.deepEqual(records.map(record => record.step).sort(), ['asked', 'asked', 'asked', 'closed']);
});

help('keyboard and focus', {}, async({enter}) => {
    const browser = await enter();
    const {page} = browser;
    const focused = () => page.evaluate(() => document.activeElement.dataset.part ?? document.activeElement.id);
    await part(browser, 'ask').focus();
    await page.keyboard.press('Enter');
    assert.equal(await focused(), 'local-examstream-text');
    assert.equal(await part(browser, 'ask').getAttribute('aria-expanded'), 'true');
    await page.keyboard.type('half a thought');
    await page.keyboard.press('Escape');
    assert.equal(await focused(), 'ask');
    assert.ok(await part(browser, 'panel').isHidden());
    // What was typed is still there, on the next page too, and is no answer of the quiz.
    await Promise.all([page.waitForURL(/page=1/), page.click('input[name=next]')]);
    await browser.ready();
    await open(browser);
    assert.equal(await page.inputValue('#local-examstream-text'), 'half a thought');
    await part(browser, 'send').press('Enter');
    assert.equal(await focused(), 'heading');
    // An answer takes no focus away.
    const [record] = await asked(browser);
    await page.keyboard.press('Escape');
    await page.locator('input[name$=":5_answer"]').focus();
    desk(record, 'answered', 'A whole answer.');
    await until('it is answered', async() => (await news(browser)).length === 1);
    assert.match(await page.evaluate(() => document.activeElement.name), /:5_answer$/);
    assert.deepEqual(streamed(attemptOf(browser)).filter(other => other.type === 'answer'), []);
});

help('switched off: no control, nothing asked of the server, nothing told', {switches: {helpdesk: 0}}, async({enter}) => {
    const browser = await enter();
    assert.equal(await browser.page.locator('.local-examstream-help').count(), 0);
    const body = await browser.page.evaluate(async() => {
        const {url, token, attempt} = JSON.parse(document.getElementById('local-examstream-config').textContent);
        const post = async more => (await fetch(url, {method: 'POST', body: JSON.stringify({token, ...more})})).json();
        return [await post({records: [], help: ''}), attempt];
    });
    assert.equal(body[0].saved, 0);
    assert.equal(body[0].help, undefined);
});

help('through the web service', {}, async({enter}) => {
    configure({local_examstream: {mode: 'ws'}});
    try {
        const browser = await enter();
        await ask(browser, 'Does this door work?');
        const [record] = await asked(browser);
        const since = desk(record, 'answered', 'It does.');
        await until('it is answered', async() => (await calls(browser))[0]?.answer === 'It does.');
        console.log(`  answered: after ${((performance.now() - since) / 1000).toFixed(2)} s`);
    } finally {
        configure({local_examstream: {mode: 'door'}});
    }
});
