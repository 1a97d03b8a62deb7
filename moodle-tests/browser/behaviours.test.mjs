// What a student may count on besides: networks that come and go, two devices,
// second thoughts, attachments, and servers that fall over during the exam.

import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'node:test';
import {Browser, SEVEN, at, attemptOf, configure, makeQuiz, sleep, streamed, until, url} from './harness.mjs';

const full = process.env.ES_FULL === '1';
const timeout = 300000;
let student = 0;

/** Runs a test with a student of its own, and ends all browsers it started. */
function behaviour(name, spec, run) {
    test(name, {timeout}, async t => {
        const username = spec.username ?? `student${String(1 + student++ % 20).padStart(2, '0')}`;
        const quiz = makeQuiz({name, questions: SEVEN, ...spec.quiz});
        const browsers = [];
        const enter = async(options = {}) => {
            const browser = await Browser.start(options);
            browsers.push(browser);
            await browser.login(options.username ?? username);
            if (!options.outside) {
                await browser.attempt(quiz);
            }
            return browser;
        };
        try {
            await run({t, quiz, enter, username});
            browsers.forEach(browser => assert.deepEqual(browser.errors, [], 'errors in the page'));
        } finally {
            browsers.forEach(browser => browser.kill());
        }
    });
}

/** The same for what takes its time, and has not been wrong. */
const long = full ? behaviour : () => null;

behaviour('network cut and restored: marked as not saved, then saved', {}, async({quiz, enter}) => {
    const browser = await enter();
    await browser.answer(quiz, 1);
    await browser.saved([1]);
    await browser.network(false);
    await browser.answer(quiz, 4, 2);
    await browser.answer(quiz, 5, 2);
    await until('both are marked as not saved', async() =>
        await browser.mark(4) === 'unsaved' && await browser.mark(5) === 'unsaved');
    assert.match(await browser.banner(), /do not reach the server/);
    assert.equal(await browser.mark(1), 'saved');
    await browser.network(true);
    await browser.saved([1, 4, 5]);
    await until('the banner says so', async() => /Connected again/.test(await browser.banner()));
    const before = await browser.readAll(quiz);
    browser.kill();
    const again = await enter();
    assert.deepEqual(await again.readAll(quiz), before);
    await until('the restore line is shown', () => again.page.locator('.local-examstream-restored').isVisible());
});

behaviour('killed while offline: the same profile brings the answers back', {}, async({quiz, enter}) => {
    const browser = await enter();
    await browser.network(false);
    for (const slot of [2, 3, 6, 7]) {
        await browser.answer(quiz, slot, 2);
    }
    await until('all are marked as not saved', async() => await browser.mark(7) === 'unsaved');
    // What was typed in the last moment before the power cut is on no disk.
    await sleep(1000);
    const before = await browser.readAll(quiz);
    browser.kill();
    const again = await enter({profile: browser.profile});
    // They are sent, and the page is loaded again with them.
    await sleep(4000);
    await again.ready();
    assert.deepEqual(await again.readAll(quiz), before);
});

behaviour('what another user left in the browser is deleted, never sent', {}, async({quiz, enter, username}) => {
    const browser = await enter();
    const attempt = attemptOf(browser);
    await browser.network(false);
    await browser.answer(quiz, 5, 3);
    await until('it is kept', async() => await browser.mark(5) === 'unsaved');
    browser.kill();
    const other = username === 'student20' ? 'student19' : 'student20';
    const next = await enter({profile: browser.profile, username: other});
    const left = await next.page.evaluate(() => new Promise(resolve => {
        indexedDB.open('local_examstream').onsuccess = e => {
            e.target.result.transaction('outbox').objectStore('outbox').getAll().onsuccess = all => resolve(all.target.result);
        };
    }));
    assert.deepEqual(left, []);
    assert.deepEqual(streamed(attempt).filter(record => record.type === 'answer'), []);
});

behaviour('a frozen tab: everything typed is saved or marked', {}, async({quiz, enter}) => {
    const browser = await enter();
    const cdp = await browser.context.newCDPSession(browser.page);
    await browser.answer(quiz, 5, 1);
    await browser.page.waitForTimeout(50);
    await cdp.send('Page.setWebLifecycleState', {state: 'frozen'});
    await sleep(full ? 60000 : 4000);
    await cdp.send('Page.setWebLifecycleState', {state: 'active'});
    await browser.answer(quiz, 4, 1);
    await browser.saved([4, 5]);
    const before = await browser.readAll(quiz);
    browser.kill();
    const again = await enter();
    assert.deepEqual(await again.readAll(quiz), before);
});

behaviour('two devices, edits A, B, A: the last edit wins on both', {}, async({quiz, enter}) => {
    const a = await enter();
    await a.answer(quiz, 5, 1);
    await a.answer(quiz, 2, 1);
    await a.saved([2, 5]);
    const b = await enter();
    assert.equal(await b.read(5), 'answer=frog 1');
    await b.answer(quiz, 5, 2);
    await b.answer(quiz, 4, 2);
    await b.saved([4, 5]);
    await a.answer(quiz, 5, 3);
    await a.saved([5]);
    for (const device of [a, b]) {
        await sleep(1000);
        await device.page.reload();
        await device.ready();
        assert.equal(await device.read(5), 'answer=frog 3');
        assert.equal(await device.read(4), 'answer=3.12');
    }
});

behaviour('an answer undone just before Next does not come back', {quiz: {perpage: 5}}, async({quiz, enter}) => {
    const browser = await enter();
    const next = () => Promise.all([browser.page.waitForURL(/page=1/), browser.page.click('input[name=next]')]);
    await browser.answer(quiz, 5, 1);
    await browser.saved([5]);
    await next();
    await browser.ready();
    await browser.page.goBack();
    await browser.ready();
    await browser.answer(quiz, 5, 2);
    await browser.saved([5]);
    await browser.answer(quiz, 5, 1);
    await next();
    await sleep(1500);
    browser.kill();
    const again = await enter();
    await again.page.goto(again.page.url().replace(/&page=\d+/, ''));
    await again.ready();
    assert.equal(await again.read(5), 'answer=frog 1');
});

behaviour('a redone question does not get its old answer back',
    {quiz: {preferredbehaviour: 'immediatefeedback', canredoquestions: 1, questions: ['shortanswer:frogtoad', 'truefalse:true']}},
    async({quiz, enter}) => {
        const browser = await enter();
        await browser.answer(quiz, 1, 4);
        await browser.saved([1]);
        await Promise.all([browser.page.waitForNavigation(), browser.question(1).locator('[name$="_-submit"]').click()]);
        await browser.ready();
        await Promise.all([browser.page.waitForNavigation(), browser.page.click('[name^=redoslot]')]);
        await browser.ready();
        assert.equal(await browser.read(1), 'answer=');
        await sleep(1000);
        browser.kill();
        const again = await enter();
        assert.equal(await again.read(1), 'answer=');
        await again.answer(quiz, 1, 5);
        await again.saved([1]);
        again.kill();
        assert.equal(await (await enter()).read(1), 'answer=frog 5');
    });

behaviour('essay in the editor with an attachment: both are still there', {quiz: {questions: ['essay:editorfilepicker']}},
    async({enter}) => {
        const browser = await enter();
        const {page} = browser;
        await page.locator('.filemanager .fp-btn-add a').click();
        await page.locator('.fp-repo-area .fp-repo-name', {hasText: 'Upload a file'}).click();
        await page.setInputFiles('.fp-upload-form input[type=file]', {name: 'frog.txt', mimeType: 'text/plain', buffer: Buffer.from('A frog.')});
        await page.click('.fp-upload-btn');
        await page.locator('.filemanager .fp-filename', {hasText: 'frog.txt'}).first().waitFor();
        await until('the file is saved', async() => await browser.mark(1) === 'saved');
        await page.frameLocator('iframe.tox-edit-area__iframe').locator('body').pressSequentially('There was a frog.');
        await sleep(1500);
        await browser.saved([1]);
        browser.kill();
        const again = await enter();
        await again.page.locator('.filemanager .fp-filename', {hasText: 'frog.txt'}).first().waitFor();
        assert.match(await again.question(1).locator('textarea').inputValue(), /There was a frog\./);
    });

behaviour('drag and drop, menus, embedded answers and fields written by scripts: captured and restored', {quiz: {questions: ['ddwtos:fox', 'ddimageortext:xsection',
    'ddmarker:mkmap', 'gapselect:missingchoiceno', 'multianswer:twosubq', 'ordering:moodle', 'calculatedsimple:sumwithvariants']}},
async({quiz, enter}) => {
    const browser = await enter();
    const {page} = browser;
    // Words and images are dropped by the keyboard, as their types offer it.
    for (const [slot, zone] of [[1, '.drop'], [2, '.dropzone']]) {
        await browser.question(slot).locator(zone).nth(1).focus();
        await page.keyboard.press('Space');
        // It flies there.
        await sleep(700);
    }
    const drag = async(from, to) => {
        await from.scrollIntoViewIfNeeded();
        const [a, b] = [await from.boundingBox(), await to.boundingBox()];
        await page.mouse.move(a.x + a.width / 2, a.y + a.height / 2);
        await page.mouse.down();
        await page.mouse.move(b.x + b.width / 2, b.y + b.height / 2 + 5, {steps: 12});
        await page.mouse.up();
    };
    await browser.question(3).locator('.marker:visible').first().focus();
    for (const key of ['Space', ...Array(6).fill('ArrowUp')]) {
        await page.keyboard.press(key);
    }
    await browser.question(4).locator('select').first().selectOption({index: 1});
    await browser.question(5).locator('select').first().selectOption({index: 1});
    const items = browser.question(6).locator('.sortableitem, li[id^=ordering_item]');
    await drag(items.nth(0), items.nth(2));
    // As code editors do: the field is written by a script, without an event.
    await browser.question(7).locator('input[type=text]').first().evaluate(input => {
        input.value = '5.5';
    });
    const slots = [1, 2, 3, 4, 5, 6, 7];
    await browser.saved(slots);
    await sleep(500);
    const before = await browser.readAll(quiz);
    assert.match(before[1] + before[2], /p\d=[1-9].*p\d=[1-9]/, 'nothing was dropped');
    browser.kill();
    const again = await enter();
    assert.deepEqual(await again.readAll(quiz), before);
});

const EDITORS = {
    atto: (browser, text) => browser.question(1).locator('.editor_atto_content').pressSequentially(text),
    textarea: (browser, text) => browser.question(1).locator('textarea').pressSequentially(text),
};

long('an essay in the other editors: what is typed is captured and restored', {quiz: {questions: ['essay:editor']}},
    async({enter}) => {
        // From 5.0 on Atto is no part of Moodle.
        const editors = Object.keys(EDITORS).filter(name => existsSync(join(process.env.ES_CODE, 'lib/editor', name)));
        try {
            for (const name of editors) {
                configure({core: {texteditors: name}});
                const browser = await enter();
                await EDITORS[name](browser, `Typed in ${name}. `);
                await browser.saved([1]);
                await sleep(1000);
                const before = await browser.read(1);
                assert.match(before, new RegExp(`Typed in ${name}\\.`));
                browser.kill();
                const again = await enter();
                assert.equal(await again.read(1), before);
                again.kill();
            }
        } finally {
            configure({core: {texteditors: 'tiny,textarea'}});
        }
    });

long('pages in sequence: the answers of the open page come back', {quiz: {navmethod: 'sequential', perpage: 3}}, async({enter}) => {
    const browser = await enter();
    await browser.answer({slots: {1: 'truefalse'}}, 1);
    await Promise.all([browser.page.waitForURL(/page=1/), browser.page.click('input[name=next]')]);
    await browser.ready();
    await browser.answer({slots: {5: 'shortanswer'}}, 5, 3);
    await browser.saved([5]);
    browser.kill();
    const again = await enter();
    assert.equal(await again.read(5), 'answer=frog 3');
});

long('sixty questions and a description on one page, answered offline: all are saved when the network is back',
    {quiz: {questions: ['description:info', ...Array(60).fill('truefalse:true')]}}, async({quiz, enter}) => {
        const browser = await enter();
        await browser.network(false);
        const slots = Object.keys(quiz.slots).slice(1);
        for (const slot of slots) {
            await browser.answer(quiz, slot, Number(slot));
        }
        await until('the last is marked', async() => await browser.mark(slots.at(-1)) === 'unsaved');
        await browser.network(true);
        await browser.saved(slots);
        const before = await browser.readAll(quiz);
        browser.kill();
        assert.deepEqual(await (await enter()).readAll(quiz), before);
    });

behaviour('a preview is streamed and marked as one', {username: 'invigilator'}, async({quiz, enter}) => {
    const browser = await enter();
    await browser.answer(quiz, 5, 1);
    await browser.saved([5]);
    const attempt = attemptOf(browser);
    await until('it is in the stream', () => streamed(attempt).some(record => record.type === 'answer'));
    assert.ok(streamed(attempt).every(record => record.preview === true));
    browser.kill();
    assert.equal(await (await enter()).read(5), 'answer=frog 1');
});

behaviour('finished in another tab: the student is told', {}, async({quiz, enter}) => {
    const [one, other] = [await enter(), await enter()];
    await one.page.click('input[name=next]');
    await one.page.waitForURL(/summary\.php/);
    await one.page.click('.controls button:has-text("Submit all")');
    await Promise.all([one.page.waitForURL(/review\.php/), one.page.click('.modal.show button[data-action=save]')]);
    await other.answer(quiz, 5, 6);
    await until('the banner says so', async() => /finished/.test(await other.banner()));
});

behaviour('answers in dispute with the server: full, a portal in between, one record refused', {}, async({quiz, enter}) => {
    const browser = await enter();
    let mode = 'full';
    await browser.page.route('**/local/examstream/put.php', route => {
        const replies = {
            full: {status: 503, headers: {'Retry-After': '1'}, contentType: 'application/json', body: '{"error":"full","saved":0}'},
            portal: {status: 200, contentType: 'text/html', body: '<html>Please log in to the Wi-Fi</html>'},
            bad: {status: 400, contentType: 'application/json', body: '{"error":"bad","index":0,"message":"no"}'},
            unreadable: {status: 400, contentType: 'application/json', body: '{"error":"bad","index":-1,"message":"no"}'},
        };
        return replies[mode] ? route.fulfill(replies[mode]) : route.continue();
    });
    for (mode of ['full', 'portal']) {
        await browser.answer(quiz, 4, mode.length);
        await until(`not saved while ${mode}`, async() => await browser.mark(4) === 'unsaved');
        mode = '';
        await until('saved afterwards', async() => await browser.mark(4) === 'saved', 40000);
    }
    mode = 'bad';
    await browser.answer(quiz, 5, 1);
    await until('the refused one is marked', async() => await browser.mark(5) === 'refused');
    assert.equal(await browser.mark(4), 'saved');
    // What cannot even be read stands in nobody's way.
    mode = 'unreadable';
    await browser.answer(quiz, 2, 1);
    await until('it is marked', async() => await browser.mark(2) === 'refused');
    mode = '';
    await browser.answer(quiz, 1);
    await browser.saved([1, 4]);
});

behaviour('an answer over the record limit is said to be too large, and the quiz goes on', {}, async({quiz, enter}) => {
    const browser = await enter();
    await browser.question(7).locator('textarea').fill('x'.repeat(300000));
    await until('it is marked', async() => await browser.mark(7) === 'refused');
    await browser.question(7).locator('textarea').fill('shorter');
    await browser.saved([7]);
    await browser.answer(quiz, 1);
    await browser.saved([1]);
});

behaviour('through the web service instead of the door', {}, async({quiz, enter}) => {
    configure({local_examstream: {mode: 'ws'}});
    try {
        const browser = await enter();
        for (const slot of [1, 2, 3, 4, 5, 6, 7]) {
            await browser.answer(quiz, slot, 2);
        }
        await browser.saved([1, 2, 3, 4, 5, 6, 7]);
        const before = await browser.readAll(quiz);
        browser.kill();
        assert.deepEqual(await (await enter()).readAll(quiz), before);
    } finally {
        configure({local_examstream: {mode: 'door'}});
    }
});

behaviour('php-fpm killed while students answer: nothing that was marked as saved is lost', {}, async({quiz, enter}) => {
    const students = ['student17', 'student18', 'student19'];
    const rooms = await Promise.all(students.map(username => enter({username})));
    let killing = true;
    const killer = (async() => {
        for (let i = 0; killing; i++) {
            await sleep(700);
            // The master and all its children, at once; then a new one.
            at('es_fpm_kill');
            await sleep(300);
            at('es_fpm_start');
        }
    })();
    const shown = await Promise.all(rooms.map(async browser => {
        for (let n = 1; n <= (full ? 12 : 4); n++) {
            for (const slot of [1, 2, 4, 5, 6, 7]) {
                await browser.answer(quiz, slot, n);
                await sleep(150);
            }
        }
        return null;
    }));
    killing = false;
    await killer;
    // After some failures the script waits for up to 30 s, and what the server asks for.
    await Promise.all(rooms.map(browser => browser.saved([1, 2, 4, 5, 6, 7], 60000)));
    const before = await Promise.all(rooms.map(browser => browser.readAll(quiz)));
    rooms.forEach(browser => browser.kill());
    for (const [i, username] of students.entries()) {
        assert.deepEqual(await (await enter({username})).readAll(quiz), before[i], shown[i] ?? username);
    }
});
