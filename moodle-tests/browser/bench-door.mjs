// What one request costs the web server: put.php, the web service, core's
// autosave, and what is under them all, of one student on one page, in one run.
//
// CPU time of php-fpm (the extension's sender included) and of MariaDB beside it,
// as the kernel's scheduler counts it, around series of requests made one after
// the other on one connection; wall time is printed for scale. The client does as
// little as it can, because what it does between two requests empties the caches
// of a small machine. The kinds of request take turns, so that what else the
// machine does meets them all alike, and each row is the median of its turns.
//
// `an empty PHP page` is php-fpm itself; `a page that reads config.php` is the
// least that a page of Moodle costs, with ABORT_AFTER_CONFIG.
//
// Once as Debian's php-fpm comes, with opcache, and once without: the figures
// differ by an order of magnitude.

import {execFileSync} from 'node:child_process';
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {connect} from 'node:net';
import {join} from 'node:path';
import {Browser, SEVEN, at, makeQuiz, sleep, url, work} from './harness.mjs';

const TURNS = 9;

const pidOf = name => Number(readFileSync(join(work, 'run', `${name}.pid`), 'utf8'));

/** CPU nanoseconds of each thread of processes, by thread. */
function threads(pids) {
    const spent = new Map();
    for (const pid of pids) {
        for (const thread of readdirSync(`/proc/${pid}/task`)) {
            try {
                spent.set(thread, Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
            } catch {
                // It has ended since it was listed.
            }
        }
    }
    return spent;
}

const children = pid => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(/\s+/).filter(Boolean).map(Number);
const php = () => threads([pidOf('fpm'), ...children(pidOf('fpm'))]);
const mariadb = () => threads([pidOf('mariadb')]);

/** What threads have spent since; one that began meanwhile has spent all it has. */
const since = (before, after) => [...after].reduce((sum, [thread, ns]) => sum + ns - (before.get(thread) ?? 0), 0);

/** A connection that is kept; asks and resolves to the status and the body. */
class Client {
    constructor() {
        const {hostname, port} = new URL(url);
        this.host = `${hostname}:${port}`;
        this.socket = connect(Number(port), hostname);
        this.socket.setNoDelay(true);
        this.socket.on('data', chunk => {
            this.received += chunk.toString('latin1');
            const head = this.received.indexOf('\r\n\r\n');
            if (head < 0) {
                return;
            }
            const length = /\r\ncontent-length: *(\d+)/i.exec(this.received.slice(0, head));
            if (length ? this.received.length >= head + 4 + Number(length[1]) : this.received.endsWith('\r\n0\r\n\r\n')) {
                this.resolve({status: Number(this.received.slice(9, 12)), text: this.received.slice(head + 4)});
            }
        });
        for (const event of ['error', 'close']) {
            this.socket.on(event, error => this.reject?.(error || new Error('the server closed the connection')));
        }
    }

    ask({path, method = 'GET', headers = {}, body = ''}) {
        const lines = Object.entries({Host: this.host, ...headers, 'Content-Length': Buffer.byteLength(body)});
        this.received = '';
        return new Promise((resolve, reject) => {
            Object.assign(this, {resolve, reject});
            this.socket.write(`${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
        });
    }

    close() {
        this.reject = null;
        this.socket.destroy();
    }
}

const median = numbers => numbers.sort((a, b) => a - b)[numbers.length >> 1];

/** Rows of the table, of requests as the page would make them: {name, times in each turn, request}. */
async function measure(kinds) {
    const spent = new Map(kinds.map(kind => [kind, []]));
    for (let turn = -1; turn < TURNS; turn++) {
        for (const kind of kinds) {
            const client = new Client();
            const times = turn < 0 ? 20 : kind.times;
            const [php0, sql0, wall0] = [php(), mariadb(), performance.now()];
            for (let i = 0; i < times; i++) {
                const {status, text} = await client.ask(kind.request());
                if (status !== 200 || /"error":true|"status":(?!200|"OK")/.test(text)) {
                    throw new Error(`${kind.name}: ${status} ${text.slice(0, 300)}`);
                }
            }
            const per = ns => ns / times / 1e6;
            const wall = (performance.now() - wall0) / times;
            // What a request leaves to be done (the sender's call to Firehose) is its own.
            await sleep(150);
            if (turn >= 0) {
                spent.get(kind).push([per(since(php0, php())), per(since(sql0, mariadb())), wall]);
            }
            client.close();
        }
    }
    return kinds.map(kind => {
        const [ofphp, ofsql, wall] = [0, 1, 2].map(i => Number(median(spent.get(kind).map(turn => turn[i])).toFixed(3)));
        return {request: kind.name, requests: TURNS * kind.times, 'PHP CPU (ms)': ofphp, 'MariaDB CPU (ms)': ofsql, 'wall (ms)': wall};
    });
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
writeFileSync(join(process.env.ES_CODE, 'empty.php'), "<?php\necho '{}';\n");
writeFileSync(join(process.env.ES_CODE, 'bare.php'), "<?php\ndefine('ABORT_AFTER_CONFIG', true);\nrequire(__DIR__ . '/config.php');\necho '{}';\n");

const toDoor = more => ({path: '/local/examstream/put.php', ...json, body: JSON.stringify({token: config.token, ...more})});
const sign = () => ({type: 'alive', page: `${config.page}.0badcafe`, seq: ++seq, at: config.minted, counts: {},
    device: '0123456789abcdef0123456789abcdef'});
const series = () => measure([
    {name: 'an empty PHP page', times: 300, request: () => ({path: '/empty.php', ...json, body: '{}'})},
    {name: 'a page that reads config.php', times: 300, request: () => ({path: '/bare.php', ...json, body: '{}'})},
    {name: 'put.php', times: 300, request: () => toDoor(record())},
    {name: 'put.php, a sign of life with marks', times: 300, request: () => toDoor({sent: config.minted, records: [sign()]})},
    {name: 'put.php, asking for news of a call', times: 300, request: () => toDoor({records: [], help: ''})},
    {name: 'web service', times: 20, request: () => ({
        path: `/lib/ajax/service.php?sesskey=${sesskey}&info=local_examstream_put`, ...json,
        body: JSON.stringify([{index: 0, methodname: 'local_examstream_put', args: {attempt: config.attempt, body: JSON.stringify(record())}}]),
    })},
    {name: 'autosave.ajax.php', times: 10, request: () => ({
        path: '/mod/quiz/autosave.ajax.php', method: 'POST', headers: {'Content-Type': 'application/x-www-form-urlencoded', cookie},
        body: form.replace(/(%3A5_answer=)[^&]*/, `$1frog+${++seq}`),
    })},
]);

function report(title, rows) {
    const cost = Object.fromEntries(rows.map(row => [row.request, row['PHP CPU (ms)'] + row['MariaDB CPU (ms)']]));
    const part = (of, name) => `1/${Math.round(cost[of] / cost[name])}`;
    console.log(`\n${title}`);
    console.table(rows);
    console.log(`CPU: put.php costs ${part('autosave.ajax.php', 'put.php')} of core's autosave.ajax.php `
        + `(an empty PHP page ${part('autosave.ajax.php', 'an empty PHP page')}) `
        + `and ${(cost['put.php'] / cost['an empty PHP page']).toFixed(1)} times an empty PHP page; `
        + `the web service ${(cost['web service'] / cost['autosave.ajax.php']).toFixed(2)} of core's autosave`);
}

report("php-fpm as Debian's comes, with opcache", await series());
at('es_opcache', '0');
report('without opcache', await series());
at('es_opcache', '1');
process.exit(0);
