<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

namespace local_examstream;

use local_examstream\local\resume;
use local_examstream\local\site;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * Answers come back from the stream.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\resume
 */
final class resume_test extends stream_testcase {
    /** A text with what is lost on the way most easily. */
    private const TEXT = "  Grüße, <b>x</b> &amp; \"y\" \\n 'z'\r\n\u{1F9EE} \u{202E}√2 ≠ 1.5\u{00A0}\n";

    /**
     * Question types, each with a response of its own or, if there is none, its correct one.
     *
     * @return array[]
     */
    public static function qtypes(): array {
        return [
            'true/false' => ['truefalse', 'true', ['answer' => '0']],
            'multiple choice, one' => ['multichoice', 'one_of_four', ['answer' => '2']],
            'multiple choice, several' => [
                'multichoice', 'two_of_four', ['choice0' => '1', 'choice1' => '0', 'choice2' => '1', 'choice3' => '0'],
            ],
            'numerical' => ['numerical', 'pi', ['answer' => '3,14 ']],
            'short answer' => ['shortanswer', 'frogtoad', ['answer' => ' Kröte <&> ']],
            'matching' => ['match', 'foursubq', ['sub0' => '1', 'sub1' => '3', 'sub2' => '0']],
            'essay, plain' => ['essay', 'plain', ['answer' => self::TEXT, 'answerformat' => FORMAT_PLAIN]],
            'essay, editor' => ['essay', 'editor', ['answer' => '<p>' . self::TEXT . '</p>', 'answerformat' => FORMAT_HTML]],
            'drag words' => ['ddwtos', 'fox', null],
            'select words' => ['gapselect', 'missingchoiceno', null],
            'ordering' => ['ordering', 'moodle', null],
            'cloze' => ['multianswer', 'twosubq', ['sub1_answer' => self::TEXT, 'sub2_answer' => '1']],
            'calculated' => ['calculated', 'mult', ['answer' => '12.5']],
            'calculated, simple' => ['calculatedsimple', 'sumwithvariants', ['answer' => '12.5']],
            'drag onto image' => ['ddimageortext', 'xsection', null],
            'drag markers' => ['ddmarker', 'mkmap', null],
        ];
    }

    /**
     * What comes back is what Moodle's own autosave would have stored, in one step, and only once.
     *
     * @param string $qtype
     * @param string $which
     * @param array|null $response
     * @dataProvider qtypes
     */
    public function test_answer_is_restored_byte_for_byte(string $qtype, string $which, ?array $response): void {
        $this->start([[$qtype, $which]]);
        $response ??= $this->usage()->get_question_attempt(1)->get_correct_response();
        $this->assertNotEmpty($response);
        $this->answer(1, $response);

        $stock = $this->usage();
        $stock->process_all_autosaves(time(), $this->form([1 => $response]));
        $expected = $stock->get_question_attempt(1)->get_last_step()->get_submitted_data();

        $this->assertSame([1], $this->resume());
        $this->assertSame(array_map(strval(...), $expected), $this->response(1));
        $this->assertSame(array_keys($response), array_keys($expected));

        $steps = $this->usage()->get_question_attempt(1)->get_num_steps();
        $this->assertSame([], $this->resume());
        $this->assertSame($steps, $this->usage()->get_question_attempt(1)->get_num_steps());
    }

    /**
     * Behaviours, and what a response has in them besides the answer.
     *
     * @return array[]
     */
    public static function behaviours(): array {
        return [
            'deferred' => ['deferredfeedback', []],
            'deferred with certainty' => ['deferredcbm', ['-certainty' => '2']],
            'immediate' => ['immediatefeedback', []],
            'immediate with certainty' => ['immediatecbm', ['-certainty' => '3']],
            'interactive' => ['interactive', []],
            'adaptive' => ['adaptive', []],
            'adaptive without penalties' => ['adaptivenopenalty', []],
        ];
    }

    /**
     * A behaviour's own part of the response comes back, and it can be graded.
     *
     * @param string $behaviour
     * @param array $vars
     * @dataProvider behaviours
     */
    public function test_answer_is_restored_in_each_behaviour(string $behaviour, array $vars): void {
        $this->start([['shortanswer', 'frogtoad']], ['preferredbehaviour' => $behaviour]);
        // A pressed button is no part of a response: stored, it would be pressed again.
        $this->answer(1, $vars + ['answer' => 'frog', '-submit' => '1']);
        $this->assertSame([1], $this->resume());
        $this->assertEqualsCanonicalizing($vars + ['answer' => 'frog'], $this->response(1));

        $this->post([], $this->field(), true);
        $this->assertEquals(1.0, $this->usage()->get_question_attempt(1)->get_fraction() > 0.99);
    }
}
