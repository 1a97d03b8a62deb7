// Signs about an attempt in a real browser: each counted once, what is off not
// even sent, what is on named to the student.

import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';
import {Browser, SEVEN, attemptOf, makeQuiz, sleep, stateOf, streamed, until, url} from './harness.mjs';

const timeout = 240000;
const SIGNALS = ['signalhidden', 'signalclipboard', 'signalconnection', 'signaladdress', 'signaldevice'];
const all = on => Object.fromEntries(SIGNALS.map(name => [name, on]));
let student = 10;

/** Runs a test with a student of its own. */
function signals(name, switches, run) {
    test(name, {timeout}, async() => {
        const username = `student${String(1 + student++ % 20).padStart(2, '0')}`;
        const quiz = makeQuiz({name, questions: SEVEN, perpage: 5, switches});
        const browsers = [];
        const enter = async(options = {}) => {
            const browser = await Browser.start(options);
            browsers.push(browser);
            browser.sent = [];
            browser.page.on('request', request => request.url().endsWith('/put.php') && browser.sent.push(request.postDataJSON()));
            await browser.login(username);
            await browser.attempt(quiz);
            return browser;
        };
        try {
            await run({quiz, enter});
        } finally {
            browsers.forEach(browser => browser.kill());
        }
    });
}

const configOf = browser => browser.page.evaluate(() => JSON.parse(document.getElementById('local-examstream-config').textContent));
const signs = attempt => streamed(attempt).filter(record => record.type === 'alive');

/** Turns to another tab, and back after a while. A browser without a screen hides no page by itself. */
async function turnAway(browser, ms) {
    const become = state => browser.page.evaluate(state => {
        Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => state});
        document.dispatchEvent(new Event('visibilitychange', {bubbles: true}));
    }, state);
    await become('hidden');
    await sleep(ms);
    await become('visible');
}

/** All that can be noted, once each. */
async function misbehave(browser) {
    const {page} = browser;
    const field = page.locator('input[name$=":5_answer"]');
    await turnAway(browser, 2300);
    await field.fill('frog');
    await field.selectText();
    await page.keyboard.press('Control+C');
    await page.keyboard.press('End');
    await page.keyboard.press('Control+V');
    await page.keyboard.press('Control+V');
    await browser.network(false);
    await sleep(1300);
    await browser.network(true);
    await browser.saved([5]);
}

/** A POST from another address of this machine, and with another browser's name if one is given. */
const postFrom = (localAddress, agent, body) => new Promise((resolve, reject) => {
    const request = http.request(`${url}/local/examstream/put.php`, {method: 'POST', localAddress, headers: {'User-Agent': agent}}, response => {
        response.resume().on('end', () => resolve(response.statusCode));
    });
    request.on('error', reject).end(JSON.stringify(body));
});

signals('each sign is counted once, whatever is sent twice', all(1), async({enter}) => {
    const browser = await enter();
    const attempt = attemptOf(browser);
    await misbehave(browser);
    const expected = {hidden: 1, pasted: 2, copied: 1, offline: 1};
    const latest = () => signs(attempt).at(-1)?.counts ?? {};
    await until('all is in the stream', () => Object.entries(expected).every(([name, count]) => latest()[name] === count), 60000);
    const {hidden_s: hidden, offline_s: offline} = latest();
    assert.ok(hidden >= 2 && hidden < 20, `hidden for ${hidden} s`);
    assert.ok(offline >= 1 && offline < 20, `offline for ${offline} s`);
    assert.deepEqual(Object.keys(latest()).sort(), ['copied', 'hidden', 'hidden_s', 'offline', 'offline_s', 'pasted']);

    // Everything once more, in another order.
    const {site} = await configOf(browser);
    const {page} = browser;
    const replies = await page.evaluate(bodies => Promise.all(bodies.reverse().map(async body =>
        (await fetch(M.cfg.wwwroot + '/local/examstream/put.php', {method: 'POST', body: JSON.stringify(body)})).status)), browser.sent);
    assert.ok(replies.every(status => status === 200));
    // Going on to another page is no sign of anything; what its page counts is added.
    await Promise.all([page.waitForURL(/page=1/), page.click('input[name=next]')]);
    await browser.ready();
    await page.reload();
    await browser.ready();
    await sleep(2500);
    const {counts} = stateOf(site, attempt);
    assert.deepEqual(Object.fromEntries(Object.keys(expected).map(name => [name, counts[name]])), expected);
});

signals('another network, another browser, two devices at once', all(1), async({enter}) => {
    const one = await enter();
    const attempt = attemptOf(one);
    const {site, token, page, minted} = await configOf(one);
    await until('a sign of life is in the stream', () => signs(attempt).length);
    const [first] = signs(attempt);
    assert.match(first.device, /^[0-9a-f]{32}$/);
    assert.match(first.address, /^[0-9a-f]{16}$/);
    assert.match(first.agent, /^[0-9a-f]{16}$/);
    assert.ok(streamed(attempt).every(record => !JSON.stringify(record).includes('127.0.0.')), 'an address is in the stream');
    const sign = seq => ({token, records: [{type: 'alive', page: `${page}.0badcafe`, seq, at: minted, counts: {}, device: first.device}]});
    const agent = await one.page.evaluate(() => navigator.userAgent);
    assert.equal(await postFrom('127.0.0.1', agent, sign(1)), 200);
    assert.equal(await postFrom('127.0.0.2', agent, sign(2)), 200);
    assert.equal(await postFrom('127.0.0.1', 'Another browser', sign(3)), 200);
    await until('they are in the stream', () => signs(attempt).filter(({page}) => page.endsWith('.0badcafe')).length === 3);
    const [same, moved, changed] = [1, 2, 3].map(seq => signs(attempt).find(other => other.page.endsWith('.0badcafe') && other.seq === seq));
    assert.deepEqual([same.address, same.agent], [first.address, first.agent]);
    assert.notEqual(moved.address, first.address);
    assert.equal(moved.agent, first.agent);
    assert.notEqual(changed.agent, first.agent);
    assert.equal(changed.address, first.address);

    // The same browser keeps its number from page to page; another one has another.
    await one.page.reload();
    await one.ready();
    const two = await enter();
    await until('another device is in the stream', () => signs(attempt).some(({device}) => device !== first.device));
    await one.page.reload();
    await one.ready();
    await sleep(2000);
    assert.equal(new Set(signs(attempt).map(({device}) => device)).size, 2);
    const state = stateOf(site, attempt);
    assert.equal(state.devices_at_once, true);
    assert.equal(state.addresses, 2);
    assert.equal(state.agents, 2);
    two.kill();
});

signals('switched off: nothing is collected, sent or stored', all(0), async({enter}) => {
    const browser = await enter();
    const attempt = attemptOf(browser);
    await misbehave(browser);
    await browser.page.reload();
    await browser.ready();
    await until('a sign of life is in the stream', () => signs(attempt).length);
    const alive = [...browser.sent.flatMap(({records}) => records).filter(({type}) => type === 'alive'), ...signs(attempt)];
    assert.ok(alive.length > 1);
    alive.forEach(record => {
        assert.deepEqual(record.counts, {});
        ['device', 'address', 'agent'].forEach(name => assert.equal(record[name], undefined));
    });
    assert.equal(await browser.page.evaluate(() => localStorage.getItem('local_examstream_device')), null);
    assert.equal(await browser.page.locator('.local-examstream-noted').count(), 0);
});

signals('the student is told what is noted', {signalhidden: 1, signalclipboard: 1}, async({enter}) => {
    const browser = await enter();
    const noted = browser.page.locator('.local-examstream-noted');
    assert.equal((await noted.locator('summary').textContent()).trim(),
        'Noted besides your answers: leaving the page, copying and pasting.');
    assert.ok(await noted.isVisible());
    await noted.locator('summary').click();
    assert.equal(await noted.locator('li').count(), 2);
    await noted.locator('li').last().waitFor({state: 'visible'});
});
