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

use local_examstream\local\capture;
use local_examstream\local\site;
use mod_quiz\quiz_attempt;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * What the script of a page is told.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\capture
 * @covers \local_examstream\local\attempts
 * @covers \local_examstream\hook_callbacks
 */
final class capture_test extends stream_testcase {
    /**
     * The page of the attempt, as far as our hook sees it.
     *
     * @param bool $viewed whether Moodle let the student see it.
     * @param int $page
     * @return string what is added to its footer.
     */
    private function footer(bool $viewed = true, int $page = 0): string {
        global $OUTPUT, $PAGE;
        $PAGE = new \moodle_page();
        $attemptobj = quiz_attempt::create($this->attempt->id);
        $PAGE->set_url($attemptobj->attempt_url(null, $page));
        $PAGE->set_pagetype('mod-quiz-attempt');
        if ($viewed) {
            $attemptobj->fire_attempt_viewed_event();
        }
        $hook = new \core\hook\output\before_footer_html_generation($PAGE->get_renderer('core'));
        hook_callbacks::before_footer_html_generation($hook);
        return $hook->get_output();
    }

    /**
     * The configuration in a footer.
     *
     * @param string $footer
     * @return array
     */
    private function config(string $footer): array {
        $pattern = '~<script type="application/json" id="local-examstream-config">(.*)</script>$~';
        $this->assertSame(1, preg_match($pattern, $footer, $match));
        return json_decode($match[1], true, 512, JSON_THROW_ON_ERROR);
    }

    /**
     * A page that Moodle let the student see gets its token and its slots.
     */
    public function test_viewed_attempt_gets_its_configuration(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']], ['questionsperpage' => 1]);
        capture::restored((int) $this->attempt->id, [2]);
        $config = $this->config($this->footer());
        [, $grant] = explode('.', $config['token']);
        [$site, $attempt, $user, , , $page, , , $slots] = json_decode(base64_decode(strtr($grant, '-_', '+/')), true);
        $this->assertSame([site::id(), (int) $this->attempt->id, (int) $this->student->id], [$site, $attempt, $user]);
        $this->assertSame($config['page'], $page);
        $this->assertSame([1, 2], array_keys($slots));
        $this->assertSame(['qa' => $slots[2], 'qtype' => 'truefalse', 'page' => 1], $config['slots'][2]);
        $this->assertSame([2], $config['restored']);
        $this->assertSame('door', $config['mode']);
        $this->assertFalse($config['preview']);

        // The web service knows who asks.
        set_config('mode', 'ws', 'local_examstream');
        $this->assertSame('', $this->config($this->footer())['token']);
    }

    /**
     * The page that refuses a password, an address or a browser fires the same hooks, and gets nothing.
     */
    public function test_page_that_refuses_the_student_gets_no_token(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->assertSame('', $this->footer(viewed: false));
    }

    /**
     * In a quiz that is walked in one direction a page writes its own questions only.
     */
    public function test_sequential_quiz_grants_the_slots_of_the_page(): void {
        $this->start(
            [['shortanswer', 'frogtoad'], ['truefalse', 'true']],
            ['questionsperpage' => 1, 'navmethod' => QUIZ_NAVMETHOD_SEQ]
        );
        $this->assertSame([1], array_keys($this->config($this->footer())['slots']));
        $this->assertSame([2], array_keys($this->config($this->footer(page: 1))['slots']));
    }

    /**
     * Without the extension, or where the quiz is excepted, the page is stock Moodle's.
     */
    public function test_page_is_untouched_when_nothing_can_be_streamed(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $this->stream->available = false;
        $this->assertSame('', $this->footer());
        $this->stream->available = true;
        set_config('enabled', 0, 'local_examstream');
        $this->assertSame('', $this->footer());
        set_config('enabled', 1, 'local_examstream');
        $this->assertNotSame('', $this->footer());
    }

    /**
     * A redone question is written as what stands in the slot now.
     */
    public function test_redone_question_is_granted_as_the_new_one(): void {
        $this->start([['shortanswer', 'frogtoad']], ['preferredbehaviour' => 'immediatefeedback', 'canredoquestions' => 1]);
        $before = $this->config($this->footer())['slots'];
        $this->post([1 => ['answer' => 'toad', '-submit' => '1']], null);
        quiz_attempt::create($this->attempt->id)->process_redo_question(1, time());
        $after = $this->config($this->footer())['slots'];
        $this->assertSame([1], array_keys($after));
        $this->assertNotSame($before[1]['qa'], $after[1]['qa']);
        $this->assertSame((int) $this->usage()->get_question_attempt(1)->get_database_id(), $after[1]['qa']);
    }
}
