// The invigilator's side: an exam of twenty students and the board beside it,
// calls for help both ways, and a board of two thousand rows.
//
// Two of the twenty students sit at browsers of their own: one asks for help, one
// is killed. The other eighteen are scripts that log in, open their attempt and
// speak to put.php as the page does: a small machine cannot draw twenty browsers
// and serve them. The rows of the two thousand are simulated in the stream.

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import test, {after, before} from 'node:test';
import {Browser, at, attemptOf, configure, enrolCrowd, makeQuiz, password, put, sleep, until, url} from './harness.mjs';

const ALIVE = 5;
const QUESTIONS = ['truefalse:true', 'truefalse:true', 'multichoice:one_of_four', 'numerical:pi', 'shortanswer:frogtoad', 'truefalse:true'];
const SIZES = [[1280, 1000], [360, 900]];

const shot = (browser, name) => process.env.ES_SHOTS
    && browser.page.screenshot({path: join(process.env.ES_SHOTS, `${name}.png`)});

/** A student without a browser: the requests that the page would make. */
class Script {
    async get(path, options = {}) {
        const response = await fetch(url + path, {redirect: 'manual', ...options, headers: {...options.headers, cookie: this.cookie ?? ''}});
        for (const line of response.headers.getSetCookie()) {
            const [pair] = line.split(';');
            this.cookies = {...this.cookies, [pair.split('=')[0]]: pair};
            this.cookie = Object.values(this.cookies).join('; ');
        }
        const location = response.headers.get('location');
        return location ? this.get(location.replace(url, '')) : response.text();
    }

    post(path, data) {
        return this.get(path, {method: 'POST', body: new URLSearchParams(data)});
    }

    async attempt(username, quiz) {
        const token = (await this.get('/login/index.php')).match(/name="logintoken" value="(\w+)"/)[1];
        await this.post('/login/index.php', {username, password, logintoken: token});
        const sesskey = (await this.get(`/mod/quiz/view.php?id=${quiz.cmid}`)).match(/"sesskey":"(\w+)"/)[1];
        const page = await this.post('/mod/quiz/startattempt.php', {cmid: quiz.cmid, sesskey});
        this.config = JSON.parse(page.match(/id="local-examstream-config">(.*?)<\/script>/)[1]);
        this.page = `${this.config.page}.5c819700`;
        this.seq = 0;
        this.start = performance.now() / 1000;
        return this;
    }

    async send(...records) {
        const now = this.config.minted + performance.now() / 1000 - this.start;
        const response = await fetch(`${url}/local/examstream/put.php`, {method: 'POST', body: JSON.stringify({
            token: this.config.token, sent: now,
            records: records.map(record => ({page: this.page, seq: ++this.seq, at: now, ...record})),
        })});
        assert.equal(response.status, 200, `${response.status} ${await response.text()}`);
    }

    answer(slot, value, flagged = false) {
        return this.send({type: 'answer', slot, qa: this.config.slots[slot].qa, status: 1,
            fields: {':sequencecheck': '1', ':flagged': flagged ? '1' : '0', answer: value}});
    }

    alive() {
        return this.send({type: 'alive', counts: {}});
    }
}

/** Opens the board. */
async function openBoard(browser, quiz) {
    await browser.page.goto(`${url}/local/examstream/board.php?cmid=${quiz.cmid}`);
    await loaded(browser);
}

/** Waits until everything is there, also where a small machine makes the state store miss its time. */
const loaded = browser => browser.page.waitForSelector('[data-region=grid][aria-busy=false]', {state: 'attached', timeout: 180000});

/** What the board says of a student, by column. */
const rowOf = (browser, name) => browser.page.evaluate(name => {
    const row = [...document.querySelectorAll('.local-examstream-row')].find(row => row.textContent.includes(name));
    const cell = column => row?.querySelector(`[data-column=${column}]`)?.textContent.trim();
    return row && {status: cell('status'), progress: cell('progress'), help: cell('help'), signals: cell('signals'),
        digits: [...row.querySelectorAll('.local-examstream-q')].map(cell => cell.dataset.digit).join('')};
}, name);

/** Waits until the board says something of a student; the seconds since a moment. */
async function within(seconds, since, browser, name, says) {
    let row = null;
    await until(`the board says so of ${name}`, async() => {
        row = await rowOf(browser, name);
        return row && says(row);
    }, seconds * 1000 - (performance.now() - since)).catch(error => {
        throw new Error(`${error.message}: ${JSON.stringify(row)}`);
    });
    return ((performance.now() - since) / 1000).toFixed(1);
}

/** The name of a student of the course. */
const NAMES = ['Ada', 'Emmy', 'Carl', 'Sofya', 'Srinivasa', 'Maryam', 'Leonhard', 'Hypatia', 'Évariste', 'Mary',
    'Paul', 'Grace', 'Terence', 'Katherine', 'Alan', 'Julia', 'Niels', 'Shiing', 'Olga', 'Kurt'];
const nameOf = number => `${NAMES[number - 1]} `;

const fits = async(browser, what) => assert.ok(await browser.page.evaluate(() =>
    document.scrollingElement.scrollWidth <= window.innerWidth), `${what} is wider than the screen`);

before(() => configure({local_examstream: {aliveseconds: ALIVE}}));
after(() => configure({local_examstream: {aliveseconds: 15}}));

test('an exam of twenty students, as its invigilator sees it', {timeout: 900000}, async t => {
    const quiz = makeQuiz({name: 'An exam of twenty', questions: QUESTIONS, timeclose: Math.floor(Date.now() / 1000) + 3600,
        switches: {helpdesk: 1, signalhidden: 1, signaldevice: 1}});
    const students = [];
    for (let i = 3; i <= 20; i++) {
        students.push(await new Script().attempt(`student${String(i).padStart(2, '0')}`, quiz));
    }
    let going = true;
    const beating = (async() => {
        while (going) {
            await Promise.all(students.map(student => student.alive().catch(() => null)));
            await sleep(ALIVE * 600);
        }
    })();
    // High enough for twenty rows: what is not seen is not drawn.
    const [board, asker, victim] = [await Browser.start({height: 1800}), await Browser.start(), await Browser.start()];
    try {
        await asker.login('student01');
        await asker.attempt(quiz);
        await victim.login('student02');
        await victim.attempt(quiz);
        await board.login('invigilator');
        await board.page.goto(`${url}/mod/quiz/view.php?id=${quiz.cmid}`);
        assert.equal(await board.page.locator('.secondary-navigation a[href*="local/examstream/board.php"]').count(), 1);
        await openBoard(board, quiz);
        // Others may be enrolled, and be drawn in place of these.
        await board.page.fill('[data-action=search]', 'student');
        await until('everybody is here', async() => (await board.page.locator('[data-filter=here]').textContent()).includes('20'));

        await t.test('an answer is on the board within 3 s', async() => {
            const times = [];
            for (const [i, student] of students.entries()) {
                for (let slot = 1; slot <= i % 6; slot++) {
                    await student.answer(slot, '1', slot === 2);
                }
                const since = performance.now();
                await student.answer(6, '0');
                times.push(await within(3, since, board, nameOf(i + 3), row => row.digits[5] === '1'));
            }
            const moment = performance.now();
            await students[4].answer(6, '1');
            await within(3, moment, board, nameOf(7), row => row.digits[5] === '2');
            const since = performance.now();
            await asker.answer(quiz, 1);
            times.push(await within(3, since, board, nameOf(1), row => row.digits[0] === '1'));
            t.diagnostic(`seconds until an answer was on the board: ${times.join(' ')}`);
        });

        await t.test('a call for help is on the board within 3 s, its answer with the student within 3 s', async() => {
            const text = 'Is <b>π</b> allowed?\n<script>document.title = "stolen"</script> \u202eright to left';
            const part = name => asker.page.locator(`.local-examstream-help [data-part=${name}]`);
            await part('ask').click();
            await asker.page.fill('#local-examstream-text', text);
            let since = performance.now();
            await part('send').click();
            t.diagnostic(`seconds until a call was on the board: ${await within(3, since, board, nameOf(1), row => row.help.includes('Waiting'))}`);
            await board.page.click('#local-examstream-tab-help');
            const card = board.page.locator('.local-examstream-queued');
            assert.equal(await card.locator('[data-region=asked]').textContent(), text);
            assert.equal(await card.locator('[data-region=asked] *').count(), 0);
            await card.locator('[data-step=taken]').click();
            await until('it is taken', async() => (await card.locator('[data-region=step]').textContent()).includes('Invigilator'));
            await card.locator('[data-step=answered]').click();
            await card.locator('textarea').fill('Yes, <i>if</i> you like.');
            since = performance.now();
            await card.locator('[type=submit]').click();
            await asker.page.getByText('Yes, <i>if</i> you like.').first().waitFor({timeout: 20000});
            const seconds = (performance.now() - since) / 1000;
            t.diagnostic(`seconds until the answer was with the student: ${seconds.toFixed(1)}`);
            assert.ok(seconds <= 3, `the answer took ${seconds} s`);

            // Both survive a reload.
            await board.page.reload();
            await loaded(board);
            await board.page.click('#local-examstream-tab-students');
            await board.page.fill('[data-action=search]', 'student');
            await within(10, performance.now(), board, nameOf(1), row => row.help === 'Answered');
            assert.equal(await board.page.title().then(title => title.includes('stolen')), false);
        });

        await t.test('a killed browser is gone within two missed signs of life', async() => {
            const name = nameOf(2);
            assert.match((await rowOf(board, name)).status, /^Here/);
            victim.kill();
            // Two signs, the time one may be under way, and a look at the board.
            const seconds = await within(2 * ALIVE + 5, performance.now(), board, name, row => row.status.startsWith('Gone since'));
            t.diagnostic(`seconds until a killed browser was gone: ${seconds} (a sign of life each ${ALIVE} s)`);
        });

        await t.test('the story of an attempt', async() => {
            await put([{v: 1, id: 'story-signal', type: 'signal', name: 'fast_answers', at: Date.now() / 1000 - 5, ts: Date.now() / 1000,
                site: students[0].config.site, quiz: quiz.quiz, attempt: attemptOf(asker), row: {answers: 3, seconds: 4}, revision: 0}]);
            for (const slot of [3, 4, 5]) {
                await asker.answer(quiz, slot);
                await sleep(700);
            }
            await asker.answer(quiz, 4, 2);
            await asker.saved([3, 4, 5]);
            for (const [width, height] of SIZES) {
                // High enough to be seen whole.
                await board.page.setViewportSize({width, height: width < 500 ? 1700 : 1250});
                await board.page.goto(`${url}/local/examstream/attempt.php?attempt=${attemptOf(asker)}`);
                await until('all answers are there', async() => {
                    if (await board.page.locator('.local-examstream-lane[data-lane=answers] [title]').count() === 4) {
                        return true;
                    }
                    await board.page.reload();
                    return false;
                });
                assert.match(await board.page.locator('.local-examstream-lines').textContent(), /Is <b>π<\/b> allowed\?/);
                await fits(board, 'the story');
                // Moodle's drawer takes a moment.
                await sleep(800);
                await shot(board, `story-${width}`);
            }
        });

        await t.test('it fits a desk and a telephone', async() => {
            await put([5, 9].map((i, n) => {
                const {config} = students[i];
                const [ts, id] = [Date.now() / 1000 - 30 * (n + 1), `${config.attempt}-${config.page}.0badcafe-1`];
                return {v: 1, id, type: 'help', call: id, step: 'asked', by: config.user, ts, at: ts, site: config.site, quiz: quiz.quiz,
                    attempt: config.attempt, usage: config.usage, student_id: config.user, page: `${config.page}.0badcafe`, seq: 1,
                    slot: 3 + n, text: n ? 'W'.repeat(10000) : 'The picture of question 3 does not load. Is it just me?'};
            }));
            for (const [width, height] of SIZES) {
                await board.page.setViewportSize({width, height});
                await openBoard(board, quiz);
                await until('all is drawn', async() => (await board.page.locator('[data-region=waiting]').textContent()) === '2');
                await fits(board, 'the board');
                await shot(board, `board-${width}`);
                await board.page.click('#local-examstream-tab-help');
                await board.page.locator('.local-examstream-queued').nth(1).waitFor();
                await fits(board, 'the queue');
                await shot(board, `queue-${width}`);
            }
            assert.deepEqual(board.errors, []);
        });
    } finally {
        going = false;
        await beating;
        [board, asker, victim].forEach(browser => browser.kill());
    }
});

test('two thousand rows', {timeout: 600000}, async t => {
    const quiz = makeQuiz({name: 'An exam of two thousand', questions: QUESTIONS.slice(0, 1), timeclose: Math.floor(Date.now() / 1000) + 2400});
    const site = at('es_php', '-r', 'define("CLI_SCRIPT", true); require($argv[1]); echo get_config("local_examstream", "siteid");', '--',
        join(process.env.ES_SITE, 'config.php')).trim();
    const crowd = {site, quiz: quiz.quiz, students: enrolCrowd(2000), slots: 20};
    const script = new URL('crowd.php', import.meta.url).pathname;
    const simulate = (...args) => at('es_php', script, JSON.stringify(crowd), ...args.map(String));
    simulate();
    const board = await Browser.start();
    try {
        const {page} = board;
        await board.login('invigilator');
        await openBoard(board, quiz);
        await until('all rows are there', async() => /2,?02\d/.test(await page.locator('[data-filter=all]').textContent()));
        const drawn = () => page.locator('.local-examstream-row').count();
        const first = () => page.locator('.local-examstream-row').first().getAttribute('data-id');

        await t.test('draws what is seen', async() => {
            const there = await drawn();
            t.diagnostic(`rows in the document: ${there} of 2,020`);
            assert.ok(there > 5 && there < 60, `${there} rows are drawn`);
            await page.evaluate(() => {
                const grid = document.querySelector('[data-region=grid]');
                grid.scrollTop = grid.scrollHeight;
            });
            await until('the last row is drawn', () => page.locator('.local-examstream-row[aria-rowindex="2021"]').count());
            assert.ok(await drawn() < 60);
        });

        await t.test('filters, searches and sorts', async() => {
            await page.fill('[data-action=search]', 'bjorn 1');
            await until('only Björn is there', async() => (await page.locator('.local-examstream-name').allTextContents())
                .every(name => name.startsWith('Björn')));
            await page.fill('[data-action=search]', '');
            await page.click('[data-filter=help]');
            await until('only calls are there', async() => await drawn() === 5);
            await page.click('[data-filter=all]');
            await page.click('[data-sort=progress]');
            await page.click('[data-sort=progress]');
            await until('the furthest come first', async() => (await page.locator('.local-examstream-row').first()
                .locator('[data-column=progress]').textContent()).startsWith('20/20'));
            assert.equal(await page.locator('[role=columnheader][aria-sort=descending]').getAttribute('data-column'), 'progress');
            await page.click('[data-sort=student]');
        });

        await t.test('goes by the keyboard', async() => {
            await page.locator('[data-region=grid]').focus();
            const active = () => page.evaluate(() => {
                const cell = document.getElementById(document.querySelector('[data-region=grid]').getAttribute('aria-activedescendant'));
                return [Number(cell?.closest('[role=row]').getAttribute('aria-rowindex')), Number(cell?.getAttribute('aria-colindex'))];
            });
            const press = async(key, row, column) => {
                await page.keyboard.press(key);
                await until(`${key} goes to ${row}, ${column}`, async() => (await active()).join() === `${row},${column}`, 5000)
                    .catch(async error => {
                        throw new Error(`${error.message}: ${await active()}`);
                    });
            };
            await press('Control+Home', 2, 1);
            await press('ArrowDown', 3, 1);
            await press('ArrowRight', 3, 2);
            await press('End', 3, 26);
            await press('Control+End', 2021, 26);
            await press('Home', 2021, 1);
            await press('ArrowUp', 2020, 1);
            assert.ok(await page.evaluate(() => {
                const [cell, grid] = [document.querySelector('.local-examstream-active'), document.querySelector('[data-region=grid]')]
                    .map(element => element.getBoundingClientRect());
                return cell.top >= grid.top && cell.bottom <= grid.bottom;
            }), 'the active cell is out of sight');
        });

        await t.test('is calm while 150 things a second change', async() => {
            const metrics = await page.context().newCDPSession(page);
            await metrics.send('Performance.enable');
            const busy = async() => Object.fromEntries((await metrics.send('Performance.getMetrics')).metrics
                .map(({name, value}) => [name, value])).TaskDuration;
            await page.keyboard.press('Control+Home');
            const top = await first();
            const [begin, start] = [await busy(), performance.now()];
            simulate(150, 10);
            const share = (await busy() - begin) / ((performance.now() - start) / 1000);
            t.diagnostic(`main thread busy for ${(share * 100).toFixed(1)} % of the time`);
            assert.equal(await first(), top, 'rows moved');
            assert.ok(await drawn() < 60);
        });

        // They go on while their picture is taken, all but those who are gone anyway.
        const going = spawn('sh', [process.env.ES_RUN, 'at', process.env.ES_WORK, 'es_php', script, JSON.stringify({...crowd,
            students: crowd.students.filter((id, i) => i % 25 !== 24 && i % 17 !== 5)}), '250', '30'], {stdio: 'ignore'});
        await sleep(9000);
        for (const [width, height] of SIZES) {
            await page.setViewportSize({width, height});
            await openBoard(board, quiz);
            await until('all rows are there', async() => /2,?02\d/.test(await page.locator('[data-filter=all]').textContent()));
            await sleep(3000);
            await fits(board, 'the board of two thousand');
            await shot(board, `board-2000-${width}`);
        }
        await new Promise(resolve => going.exitCode === null ? going.on('exit', resolve) : resolve());
        assert.deepEqual(board.errors, []);
    } finally {
        board.kill();
    }
});
