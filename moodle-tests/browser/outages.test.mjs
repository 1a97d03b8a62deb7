// What happens to the quiz when a server that the plugin talks to is gone: it
// goes on. Each case takes a student through a whole attempt meanwhile.

import assert from 'node:assert/strict';
import test from 'node:test';
import {Browser, SEVEN, at, makeQuiz, sleep} from './harness.mjs';

const OUTAGES = [
    {name: 'the state store is down', down: () => at('es_stop', 'redis'), up: () => at('es_redis_start'), saves: true},
    {name: 'exam-stream serve is down', down: () => at('es_stop', 'serve'), up: () => at('es_serve_start'), saves: true},
    {name: 'the extension is not loaded', down: () => at('es_unload'), up: () => at('es_load'), saves: false},
];

for (const [i, {name, down, up, saves}] of OUTAGES.entries()) {
    test(`${name}: the quiz goes on`, {timeout: 180000}, async() => {
        const quiz = makeQuiz({name, questions: SEVEN, perpage: 4, switches: {helpdesk: 1, signaladdress: 1, signaldevice: 1}});
        down();
        let browser;
        try {
            browser = await Browser.start();
            await browser.login(`student${String(10 + i)}`);
            await browser.attempt(quiz, {streamed: saves});
            for (const slot of [1, 2, 3, 4]) {
                await browser.answer(quiz, slot);
            }
            if (saves) {
                // Accepted is durable: that the way on is closed is no reason to say anything else.
                await browser.saved([1, 2, 3, 4]);
            }
            const before = await browser.readAll(quiz);
            await Promise.all([browser.page.waitForURL(/page=1/), browser.page.click('input[name=next]')]);
            await browser.ready(saves);
            await browser.answer(quiz, 5);
            await Promise.all([browser.page.waitForURL(/attempt\.php/), browser.page.click('input[name=previous]')]);
            await browser.ready(saves);
            assert.deepEqual(await browser.readAll(quiz), before);
            await browser.page.goto(browser.page.url().replace('attempt.php', 'summary.php'));
            await browser.page.click('.controls button:has-text("Submit all")');
            await Promise.all([browser.page.waitForURL(/review\.php/), browser.page.click('.modal.show button[data-action=save]')]);
            assert.deepEqual(browser.errors, []);
        } finally {
            browser?.kill();
            up();
        }
        await sleep(500);
    });
}

test('once all is back, answers are restored again', {timeout: 120000}, async() => {
    const quiz = makeQuiz({name: 'after the outages', questions: SEVEN});
    const browser = await Browser.start();
    await browser.login('student14');
    await browser.attempt(quiz);
    await browser.answer(quiz, 5, 2);
    await browser.saved([5]);
    await sleep(1500);
    browser.kill();
    const again = await Browser.start();
    await again.login('student14');
    await again.attempt(quiz);
    assert.equal(await again.read(5), 'answer=frog 2');
    again.kill();
});
