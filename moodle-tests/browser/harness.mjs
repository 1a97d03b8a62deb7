// A student at a real browser, and the operator of the site's servers.
//
// Each browser is a process of its own with a profile of its own, so that it can
// be killed as a power cut does, and its profile be used again or not.

import {execFileSync, spawn} from 'node:child_process';
import {existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {createRequire} from 'node:module';
import {gunzipSync} from 'node:zlib';

const env = process.env;
const {chromium} = createRequire(join(env.ES_MODULES, 'x.js'))('playwright-core');

export const url = env.ES_URL;
export const work = env.ES_WORK;
export const password = env.ES_PASSWORD;
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Waits until a condition holds; says what was waited for if it does not. */
export async function until(what, condition, ms = 20000) {
    const end = Date.now() + ms;
    for (;;) {
        const value = await condition();
        if (value) {
            return value;
        }
        if (Date.now() > end) {
            throw new Error(`waited ${ms} ms in vain: ${what}`);
        }
        await sleep(50);
    }
}

/** Calls a function of env.sh for the running site. */
export function at(...args) {
    return execFileSync('sh', [env.ES_RUN, 'at', work, ...args], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']});
}

const php = (...args) => at('es_php', join(work, 'site.php'), `--moodle=${env.ES_SITE}`, ...args);

/** Adds a quiz to the course; see add_quiz in site.php. */
export const makeQuiz = spec => JSON.parse(php(`--quiz=${JSON.stringify(spec)}`).trim().split('\n').pop());

/** Enrols so many students more; their ids. */
export const enrolCrowd = size => JSON.parse(php(`--crowd=${size}`).trim().split('\n').pop());

/** Sets site settings, {plugin: {name: value}}. */
export const configure = settings => php(`--config=${JSON.stringify(settings)}`);

/** Every record that was accepted, of one attempt. */
export function streamed(attempt) {
    const files = directory => readdirSync(directory).flatMap(name => {
        const path = join(directory, name);
        return statSync(path).isDirectory() ? files(path) : /\.jsonl(\.gz)?$/.test(path) ? [path] : [];
    });
    const text = path => path.endsWith('.gz') ? gunzipSync(readFileSync(path)).toString() : readFileSync(path, 'utf8');
    return files(process.env.ES_RECORDS).flatMap(path => text(path).split('\n').filter(Boolean))
        .map(line => JSON.parse(line)).filter(record => record.attempt === attempt);
}

/** The attempt that a browser shows. */
export const attemptOf = browser => Number(new URL(browser.page.url()).searchParams.get('attempt'));

/** Puts records into the stream, as a page of the server does. */
export const put = records => at('es_php', '-r', 'foreach (json_decode($argv[1], true) as $record) {'
    + ' exam_stream_put("", $record) || exit(1); } exam_stream_flush() || exit(1);', '--', JSON.stringify(records));

/** The folded state of an attempt. */
export const stateOf = (site, attempt) =>
    JSON.parse(at('es_php', '-r', 'echo json_encode(exam_stream_state($argv[1], (int) $argv[2]));', '--', site, String(attempt)));

/** The questions of most tests: one of each simple type, in this order. */
export const SEVEN = ['truefalse:true', 'multichoice:one_of_four', 'multichoice:two_of_four', 'numerical:pi',
    'shortanswer:frogtoad', 'match:foursubq', 'essay:plain'];

const FLAGS = ['--headless', '--no-sandbox', '--disable-quic', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--no-first-run', '--disable-dev-shm-usage', '--disable-gpu', '--disable-extensions',
    // A test's page is never in the foreground of anything.
    '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding'];

const running = new Set();
process.on('exit', () => running.forEach(browser => browser.kill()));
['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(signal => process.on(signal, () => process.exit(1)));

export class Browser {
    /** Starts Chromium with the given profile directory, or a new one. */
    static async start({profile = null, width = 1280, height = 900} = {}) {
        const browser = new Browser();
        browser.profile = profile ?? mkdtempSync(join(env.ES_PROFILES, 'profile-'));
        const portfile = join(browser.profile, 'DevToolsActivePort');
        rmSync(portfile, {force: true});
        rmSync(join(browser.profile, 'SingletonLock'), {force: true});
        browser.process = spawn(env.ES_CHROMIUM, [...FLAGS, `--window-size=${width},${height}`, '--remote-debugging-port=0',
            `--user-data-dir=${browser.profile}`, 'about:blank'], {detached: true, stdio: 'ignore'});
        running.add(browser);
        await until('Chromium listens', () => existsSync(portfile) && readFileSync(portfile, 'utf8').includes('\n'), 30000);
        const [port] = readFileSync(portfile, 'utf8').split('\n');
        browser.cdp = await chromium.connectOverCDP(`http://127.0.0.1:${port}`);
        browser.context = browser.cdp.contexts()[0];
        browser.page = browser.context.pages()[0] ?? await browser.context.newPage();
        await browser.page.setViewportSize({width, height});
        // A small machine that also runs the servers.
        browser.context.setDefaultTimeout(60000);
        browser.errors = [];
        browser.page.on('pageerror', error => browser.errors.push(error.stack));
        return browser;
    }

    /** As a power cut: nothing gets to run any more. */
    kill() {
        running.delete(this);
        try {
            process.kill(-this.process.pid, 'SIGKILL');
        } catch (error) {
            // It has ended already.
        }
    }

    /** As a student who closes the window. */
    async close() {
        await this.page.close({runBeforeUnload: false}).catch(() => null);
        await sleep(300);
        this.kill();
    }

    /** Shows a page of the site, and waits until it is {@link loaded}. */
    async goto(path) {
        await this.page.goto(url + path);
        await this.loaded();
    }

    /** Waits until the page is there whole, and asks for nothing more. */
    async loaded() {
        // Where the machine is busy, nothing may be asked for while the page is still being read.
        await this.page.waitForLoadState('load');
        await this.page.waitForLoadState('networkidle');
    }

    async login(username) {
        // Requests that the page makes beside may start a session of their own: then Moodle asks again.
        for (let tries = 3; tries > 0; tries--) {
            await this.goto('/login/index.php');
            if (!await this.page.locator('#username').count()) {
                // The profile of a browser that was killed may still be logged in.
                return;
            }
            await this.page.fill('#username', username);
            await this.page.fill('#password', password);
            await Promise.all([this.page.waitForNavigation(), this.page.click('#loginbtn')]);
            if (!new URL(this.page.url()).pathname.startsWith('/login/')) {
                return;
            }
        }
        throw new Error(`${username} cannot log in`);
    }

    /** Starts an attempt of the quiz, or continues it, and waits until the page is watched. */
    async attempt(quiz, {streamed = true} = {}) {
        const page = this.page;
        await this.goto(`/mod/quiz/view.php?id=${quiz.cmid}`);
        await page.click('.quizattempt button[type=submit], .quizstartbuttondiv button[type=submit]');
        // A time limit asks first.
        const confirm = page.locator('.modal.show input[type=submit][name=submitbutton], #id_submitbutton');
        await Promise.race([page.waitForSelector('#responseform'), confirm.first().waitFor({state: 'visible'})]);
        if (!page.url().includes('/mod/quiz/attempt.php')) {
            await confirm.first().click();
            await page.waitForSelector('#responseform');
        }
        await this.ready(streamed);
    }

    /** Waits until the attempt page is loaded, and our script watches it. */
    async ready(streamed = true) {
        await this.loaded().catch(() => null);
        if (streamed) {
            await this.page.waitForSelector('#responseform > .local-examstream-banner', {state: 'attached'});
        }
    }

    question(slot) {
        return this.page.locator(`.que[id$="-${slot}"]`);
    }

    /** Gives the answer number `n` to a question, as a hand does. */
    async answer(quiz, slot, n = 1) {
        const question = this.question(slot);
        const field = name => question.locator(`[name$=":${slot}_${name}"]`);
        switch (quiz.slots[slot]) {
            case 'truefalse':
                return question.locator('input[type=radio]').nth(n % 2).check();
            case 'multichoice':
                if (await question.locator('.answer input[type=radio]').count()) {
                    return question.locator('.answer input[type=radio]').nth(n % 4).check();
                }
                for (const i of [0, 1, 2, 3]) {
                    await question.locator('input[type=checkbox][name*=choice]').nth(i).setChecked(i === n % 4 || i === (n + 2) % 4);
                }
                return null;
            case 'numerical':
                return field('answer').fill(`3.1${n}`);
            case 'shortanswer':
                return field('answer').fill(`frog ${n}`);
            case 'match':
                for (const i of [0, 1, 2]) {
                    await field(`sub${i}`).selectOption({index: 1 + (i + n) % 3});
                }
                return null;
            case 'essay':
                return field('answer').fill(`Once upon a time there was a frog, number ${n}. Ελληνικά, 数学, \u{1f438}.\n<b>Not HTML</b> & "quoted"`);
            default:
                throw new Error(`no hand for ${quiz.slots[slot]}`);
        }
    }

    /** What a question shows as its answer. */
    async read(slot) {
        return this.question(slot).evaluate((question, slot) => {
            const values = [];
            question.querySelectorAll('input, select, textarea').forEach(control => {
                const name = control.name.replace(/^q\d+:\d+_/, '');
                if (!name || /^:|itemid$|format$|^attachments$/.test(name) || control.type === 'submit'
                    || (['radio', 'checkbox'].includes(control.type) && (!control.checked || control.value === '-1'))
                    || (control.type === 'hidden' && question.querySelector(`input[type=checkbox][name="${control.name}"]`))) {
                    return;
                }
                // An empty drop zone says 0, or nothing.
                values.push(`${name}=${/^p\d+$/.test(name) && control.value === '0' ? '' : control.value}`);
            });
            return values.join('&');
        }, slot);
    }

    async readAll(quiz) {
        const answers = {};
        for (const slot of Object.keys(quiz.slots)) {
            if (await this.question(slot).count()) {
                answers[slot] = await this.read(slot);
            }
        }
        return answers;
    }

    /** How a question is marked: saved, saving, unsaved, restored, refused, or nothing. */
    async mark(slot) {
        const mark = this.question(slot).locator('.local-examstream-mark');
        return await mark.count() ? mark.getAttribute('data-state') : '';
    }

    async banner() {
        return (await this.page.locator('.local-examstream-banner').textContent()).trim();
    }

    /** Cuts or restores the network of this browser. */
    async network(on) {
        await this.context.setOffline(!on);
    }

    /** Waits until every mark on the page says that it is saved. */
    async saved(slots, ms = 30000) {
        let marks = [];
        await until('all is marked as saved', async() => {
            marks = [];
            for (const slot of slots) {
                marks.push(`${slot}: ${await this.mark(slot)}`);
            }
            return marks.every(mark => mark.endsWith(': saved'));
        }, ms).catch(error => {
            throw new Error(`${error.message} (${marks.join(', ')})`);
        });
    }
}
