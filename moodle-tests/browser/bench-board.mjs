// What the live board costs the servers: two thousand students, twenty invigilators
// who look every two seconds, and 150 changes a second, for half a minute.
//
// CPU seconds of php-fpm, MariaDB and Redis, read from /proc around the run, less
// what the same changes cost with nobody looking; the simulated students speak to
// the stream directly, so that php-fpm serves the boards alone. MariaDB's general
// log counts the queries, and those of the quiz's tables.

import {execFileSync, spawn} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Browser, at, enrolCrowd, makeQuiz, sleep, url, work} from './harness.mjs';

const [ROWS, VIEWERS, RATE, SECONDS] = [2000, 20, 150, Number(process.env.ES_SECONDS ?? 30)];
const TICK = Number(execFileSync('getconf', ['CLK_TCK'], {encoding: 'utf8'}));

/** CPU seconds of a process, and of its children that have ended; a child that has just ended is counted with its parent. */
function cpu(pid) {
    if (!existsSync(`/proc/${pid}/stat`)) {
        return 0;
    }
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').map(Number);
    return fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / TICK;
}
const pidOf = name => Number(readFileSync(join(work, 'run', `${name}.pid`), 'utf8'));
const children = pid => execFileSync('ps', ['-o', 'pid=', '--ppid', pid], {encoding: 'utf8'}).trim().split(/\s+/).map(Number);
const used = () => ({
    'php-fpm': [pidOf('fpm'), ...children(pidOf('fpm'))].reduce((sum, pid) => sum + cpu(pid), 0),
    MariaDB: cpu(pidOf('mariadb')),
    Redis: cpu(pidOf('redis')),
});

const quiz = makeQuiz({name: 'Bench of the board', questions: ['truefalse:true'], timeclose: Math.floor(Date.now() / 1000) + 3600});
const site = at('es_php', '-r', 'define("CLI_SCRIPT", true); require($argv[1]); echo get_config("local_examstream", "siteid");', '--',
    join(process.env.ES_SITE, 'config.php')).trim();
const crowd = JSON.stringify({site, quiz: quiz.quiz, students: enrolCrowd(ROWS), slots: 20});
const script = new URL('crowd.php', import.meta.url).pathname;
at('es_php', script, crowd);

/** The changes; resolves when all are put. */
const change = seconds => new Promise(resolve => {
    const child = spawn('sh', [process.env.ES_RUN, 'at', work, 'es_php', script, crowd, String(RATE), String(seconds)], {stdio: 'ignore'});
    child.on('exit', resolve);
});

const browser = await Browser.start();
await browser.login('invigilator');
await browser.page.goto(`${url}/local/examstream/board.php?cmid=${quiz.cmid}`);
const cookie = (await browser.context.cookies()).map(({name, value}) => `${name}=${value}`).join('; ');
const sesskey = await browser.page.evaluate(() => M.cfg.sesskey);
await browser.close();

/** One look at the board. */
async function look(since) {
    const begin = performance.now();
    const response = await fetch(`${url}/lib/ajax/service.php?sesskey=${sesskey}&info=local_examstream_get_board&nosessionupdate=true`, {
        method: 'POST', headers: {'Content-Type': 'application/json', cookie},
        body: JSON.stringify([{index: 0, methodname: 'local_examstream_get_board', args: {cmid: quiz.cmid, since}}]),
    });
    const text = await response.text();
    const [{error, data}] = JSON.parse(text);
    if (error) {
        throw new Error(text.slice(0, 300));
    }
    return {...data, bytes: text.length, rows: JSON.parse(data.rows).length, ms: performance.now() - begin};
}

/** An invigilator who looks every two seconds, and later after a failure, as the page does. */
async function view(until, looks, version) {
    await sleep(Math.random() * 2000);
    while (performance.now() < until) {
        try {
            const answer = await look(version);
            version = answer.version;
            looks.push(answer);
            await sleep(answer.more ? (answer.rows ? 0 : 300) : 2000);
        } catch (error) {
            failures.push(error.message);
            await sleep(4000);
        }
    }
}

/** A look that may take a few tries: the machine has just been given two thousand attempts to fold. */
async function patiently(since, tries = 20) {
    try {
        return await look(since);
    } catch (error) {
        if (!tries) {
            throw error;
        }
        await sleep(1000);
        return patiently(since, tries - 1);
    }
}

let first = await patiently(0);
const whole = {...first};
while (first.more) {
    first = await patiently(first.version);
    await sleep(300);
}

const idle = used();
await change(SECONDS);
const before = used();
const [looks, failures] = [[], []];
const until = performance.now() + SECONDS * 1000;
await Promise.all([change(SECONDS), ...Array.from({length: VIEWERS}, () => view(until, looks, first.version))]);
const after = used();
at('es_sql', "SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = 1");
const counted = [];
for (let i = 0; i < 10; i++) {
    counted.push(await patiently(i ? counted[i - 1].version : 0));
}
at('es_sql', 'SET GLOBAL general_log = 0');
const queries = condition => Number(at('es_sql', 'SELECT COUNT(*) FROM mysql.general_log WHERE command_type IN ("Query", "Execute") '
    + `AND ${condition} AND argument NOT LIKE "%general_log%"`).trim());

const rows = Object.keys(after).map(name => {
    const seconds = Math.max(0, (after[name] - before[name]) - (before[name] - idle[name]));
    return {server: name, 'CPU of one look (ms)': Number((seconds / (looks.length + failures.length) * 1000).toFixed(2)),
        'CPU of one viewer (% of a core)': Number((seconds / SECONDS / VIEWERS * 100).toFixed(2)),
        'CPU of all viewers (% of a core)': Number((seconds / SECONDS * 100).toFixed(1))};
});
const middle = (key, share = 0.5) => looks.map(one => one[key]).sort((a, b) => a - b)[Math.floor(looks.length * share)];
console.log(`\n${ROWS} rows of 20 questions, ${VIEWERS} viewers, ${RATE} changes a second, ${SECONDS} s; what the changes cost by themselves is taken off`);
console.table(rows);
console.log(`${looks.length} looks; median ${middle('rows')} rows, ${(middle('bytes') / 1024).toFixed(0)} KiB, ${middle('ms').toFixed(0)} ms `
    + `(95th percentile ${middle('ms', 0.95).toFixed(0)} ms); the first look: ${whole.rows} rows, ${(whole.bytes / 1024).toFixed(0)} KiB, ${whole.ms.toFixed(0)} ms`);
console.log(`queries: ${(queries('1 = 1') / counted.length).toFixed(1)} a look; of tables of the quiz: `
    + `${queries('argument REGEXP "m_(quiz|question)"')} in ${counted.length} looks`);
if (failures.length) {
    console.log(`${failures.length} looks failed: ${failures[0].slice(0, 200)}`);
}
process.exit(0);
