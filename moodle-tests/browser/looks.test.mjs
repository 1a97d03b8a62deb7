// How marks, banner, restore line, help desk and the notice of what is noted look
// on a telephone and on a desk. The pictures go to $ES_SHOTS, for a person to look
// at; what a machine can see is judged here.

import assert from 'node:assert/strict';
import {join} from 'node:path';
import test from 'node:test';
import {Browser, attemptOf, makeQuiz, put, sleep, streamed, until} from './harness.mjs';

for (const [width, height] of [[360, 740], [1280, 900]]) {
    const shot = async(browser, name, options = {}) => process.env.ES_SHOTS
        && browser.page.screenshot({path: join(process.env.ES_SHOTS, `${name}-${width}.png`), ...options});
    const fits = async(browser, what) => assert.ok(await browser.page.evaluate(() =>
        document.scrollingElement.scrollWidth <= window.innerWidth), `${what} is wider than the screen`);

    test(`help desk and what is noted at ${width} px`, {timeout: 240000}, async() => {
        const switches = Object.fromEntries(['helpdesk', 'signalhidden', 'signalclipboard', 'signalconnection', 'signaladdress',
            'signaldevice'].map(name => [name, 1]));
        const quiz = makeQuiz({name: `Help at ${width} px`, questions: ['contest:choice', 'contest:number', 'contest:word'], switches});
        const browser = await Browser.start({width, height});
        const {page} = browser;
        const inSight = async what => {
            const box = await page.locator(what).boundingBox();
            assert.ok(box.x >= 0 && box.x + box.width <= width && box.y >= 0 && box.y + box.height <= height, `${what} is out of sight`);
        };
        try {
            await browser.login('student17');
            await browser.attempt(quiz);
            await browser.answer(quiz, 1);
            await browser.saved([1]);
            await page.evaluate(() => window.scrollTo(0, 0));
            await inSight('.local-examstream-ask');
            await shot(browser, 'noted');
            await page.click('.local-examstream-noted summary');
            await fits(browser, 'the notice');
            await shot(browser, 'noted-open');
            await page.click('.local-examstream-noted summary');

            await page.click('.local-examstream-ask');
            await page.fill('#local-examstream-text', 'The picture is missing. Is it only me?');
            await page.selectOption('#local-examstream-slot', '1');
            await inSight('.local-examstream-panel');
            await fits(browser, 'the panel');
            await shot(browser, 'help-ask');
            await page.click('.local-examstream-help [data-part=send]');
            await until('it waits', () => page.locator('.local-examstream-call[data-step=asked]').count());
            await page.keyboard.press('Escape');
            let call;
            await until('it is in the stream', () => (call = streamed(attemptOf(browser)).find(({type}) => type === 'help')));
            const now = Date.now() / 1000;
            put([{...call, id: `${call.id}-answered`, ts: now, at: now, step: 'answered', by: 2,
                text: 'There is none in this question.\nThe sentence above it belongs to question 2.'}]);
            await until('it is answered', () => page.locator('.local-examstream-news').isVisible());
            await inSight('.local-examstream-news');
            await fits(browser, 'the answer');
            await shot(browser, 'help-answer');
            await page.click('.local-examstream-ask');
            await fits(browser, 'the calls');
            await shot(browser, 'help-calls');
            await page.keyboard.press('Escape');
        } finally {
            browser.kill();
        }
    });

    test(`marks, banner and restore line at ${width} px`, {timeout: 240000}, async() => {
        const quiz = makeQuiz({name: `Looks at ${width} px`, questions: ['contest:choice', 'contest:number', 'contest:word']});
        const browser = await Browser.start({width, height});
        try {
            await browser.login('student16');
            await browser.attempt(quiz);
            await browser.answer(quiz, 1);
            await browser.answer(quiz, 2);
            await browser.saved([1, 2]);
            await fits(browser, 'the page with marks');
            await shot(browser, 'marks', {fullPage: true});

            await browser.network(false);
            await browser.answer(quiz, 3, 1);
            await until('the banner is there', async() => /do not reach the server/.test(await browser.banner()));
            await browser.question(3).scrollIntoViewIfNeeded();
            await sleep(300);
            const banner = await browser.page.locator('.local-examstream-banner .alert').boundingBox();
            assert.ok(banner.y >= 0 && banner.y + banner.height <= height, 'the banner is out of sight');
            await fits(browser, 'the banner');
            await shot(browser, 'banner');

            await browser.network(true);
            await browser.saved([1, 2, 3]);
            await shot(browser, 'back');
            await sleep(1000);
            browser.kill();

            const again = await Browser.start({width, height});
            await again.login('student16');
            await again.attempt(quiz);
            await until('the restore line is there', () => again.page.locator('.local-examstream-restored').isVisible());
            await fits(again, 'the restore line');
            await shot(again, 'restored');
            again.kill();
        } finally {
            browser.kill();
        }
    });
}
