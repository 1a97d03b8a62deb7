// The parts of the script that need no page: whether a question is answered, and
// what time it is.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import test, {mock} from 'node:test';

const load = name => import('data:text/javascript,' + encodeURIComponent(
    readFileSync(new URL(`../../moodle-plugin/amd/src/${name}.js`, import.meta.url), 'utf8')));
const {isAnswered} = await load('answered');
const {default: Clock} = await load('clock');

test('a question is answered if any part of it says something', () => {
    const control = {':sequencecheck': '1', ':flagged': '1'};
    const cases = [
        ['truefalse', {}, false],
        ['truefalse', {answer: '0'}, true],
        ['multichoice', {answer: '0'}, true],
        ['multichoice', {answer: '-1'}, false],
        ['multichoice', {answer: '1', '-certainty': '3'}, true],
        ['multichoice', {'-certainty': '3'}, false],
        ['multichoice', {choice0: '0', choice1: '0'}, false],
        ['multichoice', {choice0: '0', choice1: '1'}, true],
        ['numerical', {answer: ''}, false],
        ['numerical', {answer: '-1'}, true],
        ['numerical', {answer: '0'}, true],
        ['numerical', {answer: '', unit: 'm'}, false],
        ['shortanswer', {answer: '  '}, false],
        ['shortanswer', {answer: '0'}, true],
        ['match', {sub0: '0', sub1: '0'}, false],
        ['match', {sub0: '0', sub1: '2'}, true],
        ['gapselect', {p1: '', p2: '0'}, false],
        ['ddwtos', {p1: '0', p2: '1'}, true],
        ['ddimageortext', {p1: '0'}, false],
        ['ddmarker', {c1: ''}, false],
        ['ddmarker', {c1: '12,40'}, true],
        ['ordering', {response_1: 'ordering_item_a,ordering_item_b'}, true],
        ['stack', {ans1: '', 'ans1_val': '7', 'step_lang': 'en'}, false],
        ['stack', {'ans1_sub_0_0': '7', 'ans1_sub_0_1': '', 'ans1_val': '', 'step_lang': 'en'}, true],
        ['coderunner', {answer: '', language: 'python3'}, false],
        ['coderunner', {answer: 'print(1)', language: 'python3'}, true],
        ['multianswer', {sub1_answer: '', sub2_answer: ''}, false],
        ['multianswer', {sub1_answer: '', sub2_answer: '0'}, true],
        ['multianswer', {sub1_choice0: '0'}, false],
        ['essay', {answer: '', answerformat: '1', 'answer:itemid': '77', attachments: '78'}, false],
        ['essay', {answer: '<p>&nbsp;<br></p>', answerformat: '1'}, false],
        ['essay', {answer: '<p><img src="x"></p>', answerformat: '1'}, true],
        ['essay', {answer: '<b>', answerformat: '2'}, true],
        ['description', {}, false],
    ];
    for (const [qtype, fields, expected] of cases) {
        assert.equal(isAnswered(qtype, {...control, ...fields}), expected, `${qtype} ${JSON.stringify(fields)}`);
    }
    assert.equal(isAnswered('essay', {answer: '', attachments: '78'}, true), true);
});

test('the clock follows the server, never ahead of it, never back', () => {
    let [monotonic, wall] = [500, 1e12];
    mock.method(performance, 'now', () => monotonic);
    mock.method(performance, 'getEntriesByType', () => [{responseEnd: 500}]);
    mock.method(Date, 'now', () => wall);
    const pass = ms => {
        monotonic += ms;
        wall += ms;
    };
    const clock = new Clock(1000);
    assert.equal(clock.at(), 1000);
    pass(1500);
    assert.equal(clock.at(), 1001.5);

    // A reply proves it late; one that was long under way proves nothing.
    clock.hear(1001.75);
    assert.equal(clock.at(), 1001.75);
    clock.hear(1000);
    assert.equal(clock.at(), 1001.75);

    // The student sets the wall clock: nobody's time changes, but the server is asked.
    wall += 3600e3;
    clock.look();
    assert.equal(clock.at(), 1001.75);
    assert.equal(clock.doubtful, true);

    // The computer slept for an hour and the monotonic clock with it: what was done since is timed again after a reply.
    pass(1000);
    const moment = performance.now();
    assert.equal(clock.at(), 1002.75);
    pass(100);
    clock.hear(4602.85);
    assert.equal(clock.doubtful, false);
    assert.ok(Math.abs(clock.at(moment) - 4602.75) < 1e-6);
    assert.ok(clock.at() > 4602.8);
    mock.restoreAll();
});
