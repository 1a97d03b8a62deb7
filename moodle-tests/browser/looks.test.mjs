// How marks, banner and restore line look on a telephone and on a desk. The
// pictures go to $ES_SHOTS, for a person to look at; what a machine can see is
// judged here.

import assert from 'node:assert/strict';
import {join} from 'node:path';
import test from 'node:test';
import {Browser, makeQuiz, sleep, until} from './harness.mjs';

for (const [width, height] of [[360, 740], [1280, 900]]) {
    test(`marks, banner and restore line at ${width} px`, {timeout: 240000}, async() => {
        const shot = async(browser, name, options = {}) => process.env.ES_SHOTS
            && browser.page.screenshot({path: join(process.env.ES_SHOTS, `${name}-${width}.png`), ...options});
        const fits = async(browser, what) => assert.ok(await browser.page.evaluate(() =>
            document.scrollingElement.scrollWidth <= window.innerWidth), `${what} is wider than the screen`);
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
