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

use local_examstream\local\invigilator;
use local_examstream\local\roster;
use local_examstream\local\site;
use local_examstream\output\story_page;

defined('MOODLE_INTERNAL') || die();

require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * The story of an attempt.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers    \local_examstream\output\story_page
 */
final class story_test extends stream_testcase {
    /**
     * The story as it is drawn now.
     *
     * @return array what the template gets, and the page.
     */
    private function tell(): array {
        global $PAGE;
        $viewer = $this->getDataGenerator()->create_and_enrol(get_course($this->quiz->course), 'editingteacher');
        $this->setUser($viewer);
        $state = $this->stream->state(site::id(), (int) $this->attempt->id);
        $roster = new roster(new invigilator($this->cm(), (int) $viewer->id));
        $story = new story_page($this->attempt, $state, [1 => 'Frogs <b>'], fullname($this->student), $roster);
        $output = $PAGE->get_renderer('core');
        $context = $story->export_for_template($output);
        return [$context, $output->render_from_template('local_examstream/story', $context)];
    }

    /**
     * Answers, help and ends are evidence; devices, signals and silence are hints.
     */
    public function test_evidence_is_told_from_hints(): void {
        set_config('aliveseconds', 5, 'local_examstream');
        $this->start([['shortanswer', 'frogtoad']]);
        $then = round(site::now() - 60, 6);
        [$this->stream->behind, $this->stream->records] = [null, []];
        $devices = ['device' => 'aa', 'address' => str_repeat('1', 16), 'agent' => str_repeat('2', 16)];
        $this->put_record($this->attempt, 'answer', ['slot' => 1, 'qa' => 5, 'status' => 1, 'ts' => $then, 'at' => $then - 30,
            'fields' => (object) ['answer' => 'quokka']] + $devices);
        $this->put_record($this->attempt, 'alive', ['counts' => ['hidden' => 2, 'hidden_s' => 70], 'ts' => $then] + $devices);
        $this->put_record($this->attempt, 'signal', ['name' => 'fast', 'at' => $then, 'row' => ['seconds' => 3], 'revision' => 0]);
        $this->stream->put([json_encode(['type' => 'help', 'ts' => $then, 'call' => 'c', 'step' => 'asked', 'by' => 1,
            'text' => 'Help'] + $this->stream->records[0])]);
        [$story, $html] = $this->tell();
        $lanes = array_column($story['lanes'], 'evidence', 'name');
        $this->assertSame(
            ['life' => true, 'answers' => true, 'help' => true, 'devices' => false, 'signals' => false, 'silence' => false],
            $lanes
        );
        $lines = array_column($story['lines'], 'details', 'what');
        $this->assertStringContainsString('reached the server 30 secs later', $lines['Question 1: Frogs <b>']);
        $this->assertSame('seconds: 3', $lines['Signal fast']);
        $this->assertContains(['name' => 'Page hidden', 'value' => 2], $story['totals']);
        $this->assertContains(['name' => 'Page hidden for', 'value' => '1 min 10 secs'], $story['totals']);
        $this->assertStringNotContainsString('quokka', $html);
        $this->assertStringContainsString('Frogs &lt;b&gt;', $html);
    }

    /**
     * Every mark lies within the picture, and the table is in the order of time.
     */
    public function test_marks_lie_within_the_picture(): void {
        $this->start([['shortanswer', 'frogtoad'], ['truefalse', 'true']]);
        $this->answer(1, ['answer' => 'frog']);
        $this->answer(2, ['answer' => '1']);
        $this->put_record($this->attempt, 'finished', []);
        [$story] = $this->tell();
        $marks = array_merge(...array_column($story['lanes'], 'marks'));
        $this->assertCount(4, $marks);
        foreach ($marks as $mark) {
            $this->assertGreaterThanOrEqual(0, (float) $mark['left']);
            $this->assertLessThanOrEqual(100, $mark['left'] + $mark['width']);
        }
        $times = array_column($story['lines'], 'iso');
        $sorted = $times;
        sort($sorted);
        $this->assertSame($sorted, $times);
        $this->assertNotContains('silence', array_column($story['lanes'], 'name'));
    }

    /**
     * What people wrote is text.
     */
    public function test_texts_are_shown_as_text(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $text = "<script>alert(1)</script>\u{202e}{{name}} " . str_repeat('<b>', 3000);
        $this->ask_for_help($this->attempt, $text);
        [, $html] = $this->tell();
        $this->assertStringNotContainsString('<script', $html);
        $this->assertStringContainsString('&lt;script&gt;alert(1)&lt;/script&gt;', $html);
        $this->assertStringContainsString(str_repeat('&lt;b&gt;', 3000), $html);
    }
}
