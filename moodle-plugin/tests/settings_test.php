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

use core\check\result;
use local_examstream\local\connection_test;
use local_examstream\local\door;
use local_examstream\local\keys;
use local_examstream\local\quiz_form;
use local_examstream\local\site;

defined('MOODLE_INTERNAL') || die();

global $CFG;
require_once($CFG->libdir . '/adminlib.php');
require_once(__DIR__ . '/fixtures/stream_testcase.php');

/**
 * Settings of the site and of a quiz, and the checks.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 * @covers \local_examstream\local\quiz_form
 * @covers \local_examstream\local\site
 * @covers \local_examstream\local\figures
 * @covers \local_examstream\local\connection_test
 * @covers \local_examstream\check\base
 */
final class settings_test extends stream_testcase {
    /**
     * The results of the checks in the status report.
     *
     * @return string[] id => status
     */
    private function statuses(): array {
        $statuses = [];
        foreach (local_examstream_status_checks() as $check) {
            $this->assertNotEmpty($check->get_name());
            $this->assertNotEmpty($check->get_result()->get_summary());
            $statuses[$check->get_id()] = $check->get_result()->get_status();
        }
        return $statuses;
    }

    /**
     * A quiz says yes, no, or what the site says.
     */
    public function test_quiz_overrides_the_site(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        $quizid = (int) $this->quiz->id;
        $this->assertTrue(site::is_quiz_enabled($quizid));
        quiz_form::set($quizid, ['enabled' => 0]);
        $this->assertFalse(site::is_quiz_enabled($quizid));
        set_config('quizdefault', 0, 'local_examstream');
        quiz_form::set($quizid, ['enabled' => 1]);
        $this->assertTrue(site::is_quiz_enabled($quizid));
        quiz_form::set($quizid, ['enabled' => null]);
        $this->assertFalse(site::is_quiz_enabled($quizid));
        quiz_form::set($quizid, ['enabled' => 1]);
        set_config('enabled', 0, 'local_examstream');
        $this->assertFalse(site::is_quiz_enabled($quizid));
    }

    /**
     * The form of a quiz has the section, for those who may set it; other forms have not.
     */
    public function test_quiz_form_has_the_section(): void {
        global $CFG, $COURSE, $DB, $PAGE;
        require_once($CFG->dirroot . '/course/modlib.php');
        $this->start([['shortanswer', 'frogtoad']]);
        $course = get_course($this->quiz->course);
        $this->setUser($this->getDataGenerator()->create_and_enrol($course, 'editingteacher'));
        quiz_form::set((int) $this->quiz->id, ['enabled' => 0]);

        $COURSE = $course;
        $PAGE->set_url('/course/modedit.php');
        [$cm, , , $data, $section] = get_moduleinfo_data(get_coursemodule_from_id('quiz', $this->quiz->cmid), $course);
        require_once($CFG->dirroot . '/mod/quiz/mod_form.php');
        $form = new \mod_quiz_mod_form($data, $section->section, $cm, $course);
        $form->set_data($data);
        $html = $form->render();
        $this->assertMatchesRegularExpression('~<select[^>]*name="local_examstream_enabled"~', $html);
        $this->assertMatchesRegularExpression('~<option value="0" selected[^>]*>No</option>~', $html);

        $page = $this->getDataGenerator()->create_module('page', ['course' => $course->id]);
        [$cm, , , $data, $section] = get_moduleinfo_data(get_coursemodule_from_id('page', $page->cmid), $course);
        require_once($CFG->dirroot . '/mod/page/mod_form.php');
        $this->assertStringNotContainsString(
            'local_examstream_enabled',
            (new \mod_page_mod_form($data, $section->section, $cm, $course))->render()
        );

        $data = (object) ['modulename' => 'quiz', 'instance' => $this->quiz->id, 'local_examstream_enabled' => ''];
        local_examstream_coursemodule_edit_post_actions($data, $course);
        $this->assertFalse($DB->record_exists('local_examstream_quiz', ['quizid' => $this->quiz->id]));
        $data->local_examstream_enabled = '1';
        local_examstream_coursemodule_edit_post_actions($data, $course);
        $this->assertTrue($DB->record_exists('local_examstream_quiz', ['quizid' => $this->quiz->id, 'enabled' => 1]));
    }

    /**
     * A copy of a quiz streams as the original does.
     */
    public function test_setting_is_copied_with_the_quiz(): void {
        $this->start([['shortanswer', 'frogtoad']]);
        quiz_form::set((int) $this->quiz->id, ['enabled' => 0]);
        $this->setAdminUser();
        $copy = self::duplicate_module($this->quiz);
        $this->assertNotSame((int) $this->quiz->id, (int) $copy->instance);
        $this->assertFalse(site::is_quiz_enabled((int) $copy->instance));
    }

    /**
     * A deleted quiz leaves nothing behind.
     */
    public function test_setting_is_deleted_with_the_quiz(): void {
        global $DB;
        $this->start([['shortanswer', 'frogtoad']]);
        quiz_form::set((int) $this->quiz->id, ['enabled' => 0]);
        self::delete_module($this->quiz);
        $this->assertSame(0, $DB->count_records('local_examstream_quiz'));
    }

    /**
     * The settings can be shown, with the extension and without.
     */
    public function test_settings_are_in_the_administration(): void {
        $this->setAdminUser();
        $root = admin_get_root(true, true);
        $page = $root->locate('local_examstream');
        $names = array_column(get_object_vars($page->settings), 'name');
        $this->assertSame([], array_diff(array_keys(site::DEFAULTS), $names));
        $this->assertNotNull($root->locate('local_examstream_test'));

        $page->settings->local_examstreamsiteid->write_setting('exam-2');
        $this->assertSame('exam-2', site::id());
        $this->assertNotSame('', $page->settings->local_examstreamsiteid->write_setting('no id'));
    }

    /**
     * A setting of the door is published when it is saved.
     */
    public function test_saved_setting_reaches_the_door(): void {
        global $CFG;
        $this->setAdminUser();
        keys::publish();
        $this->assertTrue(door::read($CFG->dataroot)['open']);
        admin_write_settings((object) ['s_local_examstream_enabled' => 0]);
        $this->assertFalse(door::read($CFG->dataroot)['open']);
    }

    /**
     * A site lowers limits, it does not raise them.
     */
    public function test_limits_can_be_lowered_only(): void {
        set_config('maxbody', 10000000, 'local_examstream');
        set_config('maxfields', 20, 'local_examstream');
        $this->assertSame(['maxbody' => 1048576, 'maxrecord' => 262144, 'maxfields' => 20], site::limits());
    }

    /**
     * All is well.
     */
    public function test_checks_are_content_with_a_healthy_site(): void {
        keys::publish();
        $this->stream->stats = $this->healthy();
        $this->assertSame(
            array_fill_keys(['extension', 'door', 'sender', 'spool', 'state_store', 'clock'], result::OK),
            $this->statuses()
        );
    }

    /**
     * Without the extension one check says so and the others have nothing to say.
     */
    public function test_checks_say_that_the_extension_is_missing(): void {
        $this->stream->available = false;
        $statuses = $this->statuses();
        $this->assertSame(result::ERROR, $statuses['extension']);
        unset($statuses['extension']);
        $this->assertSame([result::NA], array_values(array_unique($statuses)));
    }

    /**
     * A store that is down is named.
     */
    public function test_check_of_the_state_store_says_that_it_is_down(): void {
        $this->stream->storeup = false;
        $this->assertSame(result::ERROR, $this->statuses()['state_store']);
    }

    /**
     * Door files that are not as they should be.
     */
    public function test_check_of_the_door_looks_at_its_file(): void {
        global $CFG;
        $file = door::directory($CFG->dataroot) . '/door.php';
        keys::publish();
        chmod($file, 0644);
        clearstatcache();
        $this->assertSame(result::ERROR, $this->statuses()['door']);
        keys::publish();
        set_config('siteid', 'other', 'local_examstream');
        $this->assertSame(result::ERROR, $this->statuses()['door']);
        unlink($file);
        clearstatcache();
        $this->assertSame(result::WARNING, $this->statuses()['door']);
        set_config('mode', 'ws', 'local_examstream');
        $this->assertSame(result::OK, $this->statuses()['door']);
    }

    /**
     * The test goes the whole way, and ends at the first step without the extension.
     */
    public function test_connection_test_follows_a_record(): void {
        set_config('mode', 'ws', 'local_examstream');
        $this->setAdminUser();
        $statuses = array_map(fn($result) => $result->get_status(), connection_test::run());
        $this->assertSame([
            'check_extension' => result::OK, 'test_accepted' => result::OK, 'test_delivered' => result::OK,
            'check_state_store' => result::OK, 'test_door' => result::NA,
        ], $statuses);
        $this->assertSame('test', $this->stream->records[0]['type']);

        $this->stream->room = 0;
        $this->assertSame(result::ERROR, connection_test::run()['test_accepted']->get_status());
        $this->stream->available = false;
        $this->assertSame(['check_extension'], array_keys(connection_test::run()));
    }

    /**
     * The figures of a spool that does its work.
     *
     * @return array
     */
    private function healthy(): array {
        return [
            'accepted' => 10, 'delivered' => 10, 'folded' => 10, 'retried' => 0, 'refused' => 0, 'quarantined' => 0,
            'bytes' => 1000, 'limit' => 1000000, 'oldest_undelivered' => null, 'oldest_unfolded' => null,
            'sender_pid' => 7, 'last_error' => null, 'fold_hold' => null,
        ];
    }

    /**
     * What may be wrong with a spool.
     *
     * @return array[]
     */
    public static function figures(): array {
        return [
            'late' => ['sender', result::WARNING, ['oldest_undelivered' => 100.0]],
            'very late' => ['sender', result::ERROR, ['oldest_undelivered' => 1000.0]],
            'nobody sends' => ['sender', result::ERROR, ['accepted' => 11, 'sender_pid' => null]],
            'nobody needs to send' => ['sender', result::OK, ['sender_pid' => null]],
            'quarantined' => ['sender', result::WARNING, ['accepted' => 11, 'quarantined' => 1]],
            'half full' => ['spool', result::WARNING, ['bytes' => 500000]],
            'full' => ['spool', result::ERROR, ['bytes' => 950000]],
            'was full' => ['spool', result::INFO, ['refused' => 3]],
            'not folded' => ['state_store', result::ERROR, ['oldest_unfolded' => 100.0, 'fold_hold' => 'Connection refused']],
        ];
    }

    /**
     * Trouble of the spool is named.
     *
     * @param string $check
     * @param string $status
     * @param array $figures
     * @dataProvider figures
     */
    public function test_checks_see_trouble_of_the_spool(string $check, string $status, array $figures): void {
        keys::publish();
        $this->stream->stats = $figures + $this->healthy();
        $this->assertSame($status, $this->statuses()[$check]);
    }
}
