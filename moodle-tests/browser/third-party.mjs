// STACK and CodeRunner, in a Moodle tree that has them: not one of the suites, which run on core alone.
//
//   MOODLE_DIR=… moodle-tests/run.sh browser moodle-tests/browser/third-party.mjs
//
// STACK wants the program maxima; CodeRunner is never asked to run anything. Every kind of input is answered by hand in
// deferred feedback, the browser is killed, and a fresh profile must show the same, without a further step however often
// the page is loaded. Prints which fields each question sent.

import assert from 'node:assert/strict';
import test from 'node:test';
import {Browser, at, attemptOf, configure, makeQuiz, sleep, streamed, until} from './harness.mjs';

const STACK = ['test1', 'algebraic_input', 'numerical_input', 'units_input', 'string_input', 'single_char_input', 'notes_input',
    'textarea_input', 'equiv_input', 'matrix_input', 'varmatrix_input', 'checkbox_input', 'radio_input', 'dropdown_input',
    'true_false_input'];

/** Answers whatever a question offers, with the keys and the mouse. */
async function answer(page, question) {
    for (const control of await question.locator('input, select, textarea').all()) {
        if (!await control.isVisible() || !await control.isEnabled()) {
            continue;
        }
        const [tag, type, name] = await control.evaluate(({tagName, type, name}) => [tagName, type, name]);
        if (!/^q\d+:\d+_[^:-]/.test(name)) {
            continue;
        }
        if (tag === 'SELECT') {
            await control.selectOption({index: 1});
        } else if (type === 'radio' || type === 'checkbox') {
            await control.check();
        } else {
            await control.click();
            await control.pressSequentially(tag === 'TEXTAREA' ? 'x=1\nx=2' : await control.getAttribute('maxlength') === '1' ? 'x' : '7', {delay: 30});
        }
    }
    const editor = question.locator('.ace_text-input');
    if (await editor.count()) {
        await editor.first().focus();
        await page.keyboard.type('def sqr(n):\nreturn n*n+1');
        // The editor makes these itself: the text area under it changes without an event.
        for (const key of ['Backspace', 'Backspace', 'Enter', 'Enter', 'Backspace']) {
            await page.keyboard.press(key);
        }
    }
}

const steps = attempt => Number(at('es_sql', `SELECT COUNT(*) FROM moodle.m_question_attempt_steps s
    JOIN moodle.m_question_attempts q ON q.id = s.questionattemptid
    JOIN moodle.m_quiz_attempts a ON a.uniqueid = q.questionusageid WHERE a.id = ${attempt}`));

/** CodeRunner's editor may not find its own scripts when they come slowly, and says so: then it asks for a reload. */
async function editors(browser) {
    for (let tries = 0; tries < 5; tries++) {
        await sleep(1500);
        if (!await browser.page.locator('text=editor not ready').count()) {
            return;
        }
        await browser.page.reload();
        await browser.ready();
    }
}

/** Runs the same story with any questions. */
function story(title, questions, prepare = () => null) {
    test(title, {timeout: 480000}, async t => {
        prepare();
        const quiz = makeQuiz({name: title, questions});
        let browser = await Browser.start();
        try {
            await browser.login('student11');
            await browser.attempt(quiz);
            await editors(browser);
            const attempt = attemptOf(browser);
            const slots = Object.keys(quiz.slots);
            for (const slot of slots) {
                await answer(browser.page, browser.question(slot));
            }
            await browser.page.locator('#responseform').click({position: {x: 1, y: 1}});
            // STACK asks its server about each input, a second after the last key.
            await sleep(6000);
            await browser.saved(slots);
            await browser.page.waitForLoadState('networkidle');
            await sleep(2000);
            await browser.saved(slots);
            const before = await browser.readAll(quiz);
            browser.kill();

            const last = Object.fromEntries(streamed(attempt).filter(({type}) => type === 'answer').map(({slot, fields}) => [slot, fields]));
            slots.forEach((slot, i) => t.diagnostic(`${[questions[i]].flat().slice(0, 2).join(':')}: ${JSON.stringify(last[slot])}`));

            browser = await Browser.start();
            await browser.login('student11');
            await browser.attempt(quiz);
            assert.deepEqual(await browser.readAll(quiz), before);
            const restored = steps(attempt);
            for (let i = 0; i < 3; i++) {
                await browser.page.reload();
                await browser.ready();
                await sleep(1500);
            }
            assert.equal(steps(attempt), restored);
            assert.deepEqual(await browser.readAll(quiz), before);
            t.diagnostic(`${restored} steps in ${slots.length} questions`);

            // Core's autosave goes on after it.
            const saved = browser.page.waitForResponse(response => response.url().includes('autosave.ajax.php'), {timeout: 30000});
            await answer(browser.page, browser.question(slots[0]));
            assert.match(await (await saved).text(), /^\{"status":"OK"/);
            await until('it is marked', async() => await browser.mark(1) === 'saved');
            assert.deepEqual(browser.errors, []);
        } finally {
            browser.kill();
        }
    });
}

/** An image of Maxima with STACK's libraries in it answers at once. */
const MAXIMA = `define("CLI_SCRIPT", true);
    require $argv[1] . "/config.php";
    foreach (["engine/lib", "type/stack/stack/utils.class", "type/stack/stack/cas/installhelper.class",
            "type/stack/stack/cas/connectorhelper.class", "type/stack/locallib"] as $file) {
        require_once "$CFG->dirroot/question/$file.php";
    }
    [$made, $message] = stack_cas_configuration::create_auto_maxima_image();
    $made || exit($message);`;

configure({quiz: {autosaveperiod: 3}});
story('STACK', STACK.map(which => `stack:${which}`), () => {
    configure({qtype_stack: {platform: 'linux', maximaversion: 'default', castimeout: 60, maximacommand: '', plotcommand: ''}});
    at('es_php', '-r', MAXIMA, '--', process.env.ES_SITE);
});
const ace = {uiplugin: 'ace', acelang: 'python', precheck: 0};
story('CodeRunner', [['coderunner', 'sqr', {uiplugin: 'none'}], ['coderunner', 'sqr', ace],
    ['coderunner', 'sqr', {...ace, answerpreload: '# Write it here.\n'}]],
() => configure({qtype_coderunner: {jobe_host: '127.0.0.1:1'}}));
