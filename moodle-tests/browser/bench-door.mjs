// What one request costs the web server: put.php, the web service, core's
// autosave and an empty page, of one student on one page, in one run.
//
// CPU seconds of php-fpm (the extension's sender included) and of MariaDB beside
// it, read from /proc around a series of requests made one after the other; wall
// time is printed for scale. Once as Debian's php-fpm comes, with opcache, and
// once without: the figures differ by an order of magnitude.

import {execFileSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Browser, SEVEN, at, makeQuiz, url, work} from './harness.mjs';

const TICK = Number(execFileSync('getconf', ['CLK_TCK'], {encoding: 'utf8'}));

/** CPU seconds of a process, and of its children that have ended. */
function cpu(pid) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').map(Number);
    return fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / TICK;
}

const pidOf = name => Number(readFileSync(join(work, 'run', `${name}.pid`), 'utf8'));
const children = pid => execFileSync('ps', ['-o', 'pid=', '--ppid', pid], {encoding: 'utf8'}).trim().split(/\s+/).map(Number);
const php = () => [pidOf('fpm'), ...children(pidOf('fpm'))].reduce((sum, pid) => sum + cpu(pid), 0);

/** A request as the page would make it, many times; resolves to a row of the table. */
async function measure(name, times, request) {
    const ask = async() => {
        const {path, ...options} = request();
        const response = await fetch(url + path, options);
        const text = await response.text();
        if (!response.ok || /"error":true|"status":(?!200|"OK")/.test(text)) {
            throw new Error(`${name}: ${response.status} ${text.slice(0, 300)}`);
        }
    };
    for (let i = 0; i < 20; i++) {
        await ask();
    }
    const [php0, sql0, wall0] = [php(), cpu(pidOf('mariadb')), performance.now()];
    for (let i = 0; i < times; i++) {
        await ask();
    }
    const per = seconds => Number((seconds / times * 1000).toFixed(3));
    return {
        request: name, requests: times, 'PHP CPU (ms)': per(php() - php0), 'MariaDB CPU (ms)': per(cpu(pidOf('mariadb')) - sql0),
        'wall (ms)': per((performance.now() - wall0) / 1000),
    };
}

const quiz = makeQuiz({name: 'Bench of the doors', questions: SEVEN, switches: {helpdesk: 1, signaladdress: 1, signaldevice: 1}});
const browser = await Browser.start();
await browser.login('student15');
await browser.attempt(quiz);
const cookie = (await browser.context.cookies()).map(({name, value}) => `${name}=${value}`).join('; ');
const {config, form, sesskey} = await browser.page.evaluate(() => ({
    config: JSON.parse(document.getElementById('local-examstream-config').textContent),
    form: new URLSearchParams(new FormData(document.getElementById('responseform'))).toString(),
    sesskey: M.cfg.sesskey,
}));
await browser.close();

let seq = 1000;
const record = () => ({
    sent: config.minted,
    records: [{type: 'answer', page: `${config.page}.0badcafe`, seq: ++seq, at: config.minted, slot: 5, qa: config.slots[5].qa, status: 1,
        fields: {':sequencecheck': '1', ':flagged': '0', answer: `frog ${seq}`}}],
});
const json = {method: 'POST', headers: {'Content-Type': 'application/json', cookie}};
writeFileSync(join(process.env.ES_CODE, 'bare.php'), "<?php\ndefine('ABORT_AFTER_CONFIG', true);\nrequire(__DIR__ . '/config.php');\necho '{}';\n");

const series = async() => [
    await measure('bare page', 2000, () => ({path: '/bare.php', ...json, body: '{}'})),
    await measure('put.php', 2000, () => ({path: '/local/examstream/put.php', ...json, body: JSON.stringify({token: config.token, ...record()})})),
    await measure('put.php, a sign of life with marks', 2000, () => ({path: '/local/examstream/put.php', ...json, body: JSON.stringify({
        token: config.token, sent: config.minted, records: [{type: 'alive', page: `${config.page}.0badcafe`, seq: ++seq,
            at: config.minted, counts: {}, device: '0123456789abcdef0123456789abcdef'}]})})),
    await measure('put.php, asking for news of a call', 2000, () => ({path: '/local/examstream/put.php', ...json,
        body: JSON.stringify({token: config.token, records: [], help: ''})})),
    await measure('web service', 100, () => ({
        path: `/lib/ajax/service.php?sesskey=${sesskey}&info=local_examstream_put`, ...json,
        body: JSON.stringify([{index: 0, methodname: 'local_examstream_put', args: {attempt: config.attempt, body: JSON.stringify(record())}}]),
    })),
    await measure('autosave.ajax.php', 60, () => ({
        path: '/mod/quiz/autosave.ajax.php', method: 'POST', headers: {'Content-Type': 'application/x-www-form-urlencoded', cookie},
        body: form.replace(/(%3A5_answer=)[^&]*/, `$1frog+${++seq}`),
    })),
];
function report(title, rows) {
    const cost = Object.fromEntries(rows.map(row => [row.request, row['PHP CPU (ms)'] + row['MariaDB CPU (ms)']]));
    console.log(`\n${title}`);
    console.table(rows);
    console.log(`CPU: put.php costs 1/${Math.round(cost['autosave.ajax.php'] / cost['put.php'])} of core's autosave.ajax.php `
        + `and ${(cost['put.php'] / cost['bare page']).toFixed(1)} times an empty page; `
        + `the web service ${(cost['web service'] / cost['autosave.ajax.php']).toFixed(2)} of core's autosave`);
}

report("php-fpm as Debian's comes, with opcache", await series());
at('es_opcache', '0');
report('without opcache', await series());
at('es_opcache', '1');
process.exit(0);
