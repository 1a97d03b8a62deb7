// The parts of the board that need no page: what is known, in which order it is
// shown, when it is asked for, and how times are written.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import test, {mock} from 'node:test';

const load = name => import('data:text/javascript,' + encodeURIComponent(
    readFileSync(new URL(`../../moodle-plugin/amd/src/local/board/${name}.js`, import.meta.url), 'utf8')));
const {default: Model, stepOf} = await load('model');
const {default: Poller, pause} = await load('poller');
const {clock, duration} = await load('format');

const row = (attempt, student, more = {}) => ({attempt, student, word: '10', flags: '00', answered: 1, slots: 2, state: 'started', statesince: 900,
    seen: 1000, edited: 950, counts: {}, help: {}, signals: {}, sametime: false, addresses: 1, agents: 1, ...more});
const student = (id, name, more = {}) => ({id, name, identity: [], groups: [], close: 0, limit: 0, ...more});
const ALL = {filter: 'all', group: null, text: '', sort: '', descending: false};

function model(students, rows) {
    const made = new Model({away: 17, gone: 32, locale: 'en'});
    made.meet({students});
    made.apply({rows, signals: {}});
    return made;
}
const ids = (made, wanted, now = 1001) => made.view({...ALL, ...wanted}, now).rows.map(({id}) => id);

test('a student is here, away after one missed sign of life, gone after two', () => {
    const made = model([student(1, 'A'), student(2, 'B')], [row(7, 1)]);
    const status = now => made.view(ALL, now).rows.map(entry => entry.status);
    assert.deepEqual(status(1016), ['here', 'notstarted']);
    assert.deepEqual(status(1018), ['away', 'notstarted']);
    assert.deepEqual(status(1033), ['gone', 'notstarted']);
    made.apply({rows: [row(7, 1, {state: 'finished'})], signals: {}});
    assert.deepEqual(status(2000), ['finished', 'notstarted']);
});

test('a student has one row, that of the latest attempt', () => {
    const made = model([student(1, 'A')], [row(9, 1, {answered: 2}), row(7, 1)]);
    assert.equal(made.view(ALL, 1001).rows[0].row.attempt, 9);
    made.apply({rows: [row(7, 1, {seen: 1001})], signals: {}});
    assert.equal(made.view(ALL, 1001).rows[0].row.attempt, 9);
});

test('an attempt that was erased takes its row along; the student has that of the attempt before', () => {
    const made = model([student(1, 'A'), student(2, 'B')], [row(7, 1), row(9, 1, {answered: 2}), row(8, 2)]);
    made.apply({rows: [{attempt: 9, erased: true}, {attempt: 8, erased: true}, {attempt: 4, erased: true}], signals: {}});
    const left = made.view(ALL, 1001).rows;
    assert.deepEqual(left.map(entry => entry.row?.attempt), [7, undefined]);
    assert.deepEqual(left.map(entry => entry.status), ['here', 'notstarted']);
});

test('a store that has forgotten everything takes the rows along, not the students', () => {
    const made = model([student(1, 'A'), student(2, 'B')], [row(7, 1), row(8, 2)]);
    made.apply({rows: [row(8, 2)], signals: {}, reset: true});
    assert.deepEqual(made.view(ALL, 1001).rows.map(entry => entry.status), ['notstarted', 'here']);
});

test('filters by state, group, words without their accents, calls and signals, and counts each', () => {
    const asked = {c: {asked: {ts: 990, text: 'x'}}};
    const made = model(
        [student(1, 'Évariste Dubois', {groups: [5]}), student(2, 'Paul Kovács', {identity: ['k77']}), student(3, 'Mary Dubois')],
        [row(7, 1, {help: asked}), row(8, 2, {seen: 900, counts: {hidden: 2, hidden_s: 9}})]
    );
    assert.deepEqual(ids(made, {text: 'dubois evar'}), [1]);
    assert.deepEqual(ids(made, {text: 'K77 kovacs'}), [2]);
    assert.deepEqual(ids(made, {group: 5}), [1]);
    assert.deepEqual(ids(made, {filter: 'gone'}), [2]);
    assert.deepEqual(ids(made, {filter: 'help'}), [1]);
    assert.deepEqual(ids(made, {filter: 'signals'}), [2]);
    assert.deepEqual(made.view(ALL, 1001).counts, {all: 3, here: 1, gone: 1, notstarted: 1, help: 1, signals: 1});
    assert.deepEqual(made.view({...ALL, text: 'dubois'}, 1001).counts, {all: 2, here: 1, notstarted: 1, help: 1, signals: 0});
});

test('sorts by each column, and by name what is the same', () => {
    const made = model(
        [student(1, 'C', {close: 3000}), student(2, 'A', {close: 2000}), student(3, 'B')],
        [row(7, 1, {answered: 2, edited: 999}), row(8, 2, {seen: 900}), row(9, 3, {state: 'finished', counts: {pasted: 1}})]
    );
    assert.deepEqual(ids(made, {}), [2, 3, 1]);
    assert.deepEqual(ids(made, {descending: true}), [1, 3, 2]);
    assert.deepEqual(ids(made, {sort: 'status'}), [2, 1, 3]);
    assert.deepEqual(ids(made, {sort: 'questions'}), [1, 2, 3]);
    assert.deepEqual(ids(made, {sort: 'progress', descending: true}), [1, 2, 3]);
    assert.deepEqual(ids(made, {sort: 'timeleft'}), [2, 1, 3]);
    assert.deepEqual(ids(made, {sort: 'signals'}), [3, 2, 1]);
});

test('time left is the sooner of the limit and the closing, and nothing that is not known', () => {
    const left = (times, more, now = 1000) => {
        const made = model([student(1, 'A', times)], [row(7, 1, {statesince: 900, ...more})]);
        return made.timeLeft(made.rows.get(1), now);
    };
    assert.equal(left({}), null);
    assert.equal(left({limit: 600}), 500);
    assert.equal(left({limit: 600, close: 1200}), 200);
    assert.equal(left({limit: 200, close: 1200}), 100);
    assert.equal(left({limit: 200}, {}, 5000), 0);
    assert.equal(left({limit: 600, close: 1200}, {state: 'finished'}), null);
    // When it began is no longer told once it was opened again.
    assert.equal(left({limit: 600}, {state: 'reopened'}), null);
    assert.equal(left({limit: 600, close: 1200}, {state: 'reopened'}), 200);
});

test('calls wait in the order in which they came, and closed ones last', () => {
    const help = (ts, ...steps) => ({asked: {ts}, ...Object.fromEntries(steps.map(step => [step, {ts: ts + 1, by: 50}]))});
    const made = model([student(1, 'A'), student(2, 'B')], [
        row(7, 1, {help: {a: help(990), b: help(950, 'taken', 'answered', 'closed')}}),
        row(8, 2, {help: {c: help(980, 'taken'), d: help(970, 'taken', 'answered'), e: {taken: {ts: 1}}}}),
    ]);
    assert.deepEqual(made.calls().map(({id, step}) => `${id} ${step}`), ['c taken', 'a asked', 'd answered', 'b closed']);
    assert.equal(Model.call(made.attempts.get(8)).id, 'c');
    assert.equal(stepOf({asked: {}}), 'asked');
    // Colleagues are asked for once, students who are known are not.
    assert.deepEqual(made.strangers(10), [50]);
    assert.deepEqual(made.strangers(10), []);
    made.forget([50]);
    assert.deepEqual(made.strangers(10), [50]);
    made.meet({students: [], colleagues: [{id: 50, name: 'Ivo'}]});
    assert.equal(made.name(50), 'Ivo');
    assert.equal(made.name(51), '#51');
});

test('waits longer after each failure, never in step with others, and at most half a minute', () => {
    for (let failures = 1; failures < 12; failures++) {
        const most = Math.min(30000, 2000 * 2 ** failures);
        const pauses = Array.from({length: 50}, () => pause(failures));
        assert.ok(pauses.every(ms => ms >= most / 2 && ms <= most), `${failures}: ${pauses}`);
        assert.ok(new Set(pauses).size > 10);
    }
    assert.ok(pause(0) >= 1900 && pause(0) <= 2100);
});

test('one question at a time, the rest at once, none while nobody looks', async() => {
    globalThis.document = {visibilityState: 'visible', addEventListener: (type, listener) => {
        globalThis.document.listener = listener;
    }};
    mock.timers.enable({apis: ['setTimeout']});
    const settle = async() => {
        for (let i = 0; i < 10; i++) {
            await null;
        }
    };
    const [asked, told] = [[], []];
    let reply = {version: 5, more: true, rows: [{}]};
    const poller = new Poller({
        ask: async since => {
            asked.push(since);
            if (reply instanceof Error) {
                throw reply;
            }
            return reply;
        },
        take: () => null,
        trouble: error => told.push(error?.message ?? null),
    });
    poller.now();
    poller.now();
    assert.deepEqual(asked, [0]);
    await settle();
    mock.timers.tick(1);
    assert.deepEqual(asked, [0, 5]);
    reply = {version: 6, more: false};
    await settle();
    mock.timers.tick(1);
    await settle();
    const before = asked.length;
    mock.timers.tick(1000);
    await settle();
    assert.equal(asked.length, before);
    mock.timers.tick(1200);
    await settle();
    assert.equal(asked.length, before + 1);

    reply = new Error('down');
    mock.timers.tick(2200);
    await settle();
    assert.deepEqual(told, ['down']);
    reply = {version: 7, more: false};
    mock.timers.tick(4001);
    await settle();
    assert.deepEqual(told, ['down', null]);

    document.visibilityState = 'hidden';
    const hidden = asked.length;
    mock.timers.tick(60000);
    await settle();
    assert.equal(asked.length, hidden);
    document.visibilityState = 'visible';
    document.listener();
    assert.equal(asked.length, hidden + 1);
    document.visibilityState = 'hidden';
    mock.timers.reset();
});

test('times are those of the viewer, not of the computer', () => {
    const text = (more = {}) => clock({locale: 'en', timezone: 'Asia/Tokyo', hour12: false, ...more})(1767225600);
    assert.equal(text(), '09:00:00');
    assert.match(text({hour12: true}), /^09:00:00\sAM$/);
    assert.equal(text({timezone: 'America/New_York'}), '19:00:00');
    assert.deepEqual([0, 65, 3600, 36125, -3].map(duration), ['0:00', '1:05', '1:00:00', '10:02:05', '0:00']);
});
