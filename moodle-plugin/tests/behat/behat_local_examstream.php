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

// phpcs:disable moodle.Files.RequireLogin.Missing, moodle.Files.MoodleInternal.MoodleInternalNotNeeded -- Behat loads it without Moodle.

require_once(__DIR__ . '/../../../../lib/behat/behat_base.php');

use local_examstream\local\extension;
use local_examstream\local\quiz_form;
use local_examstream\local\site;
use Moodle\BehatExtension\Exception\SkippedException;

/**
 * Steps of Exam Stream.
 *
 * @package   local_examstream
 * @category  test
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class behat_local_examstream extends behat_base {
    /**
     * Skips a scenario where there is no stream.
     *
     * @Given answers can be streamed
     */
    public function answers_can_be_streamed(): void {
        $extension = new extension();
        if (!$extension->is_available()) {
            throw new SkippedException('The PHP extension exam_stream is not loaded.');
        }
        try {
            $extension->state(site::id(), 0);
        } catch (\Throwable $e) {
            throw new SkippedException('There is no state store: ' . $e->getMessage());
        }
    }

    /**
     * Switches something on in a quiz.
     *
     * @Given :switch is switched on in the quiz :name
     * @param string $switch see \local_examstream\local\switches
     * @param string $name
     */
    public function is_switched_on_in_the_quiz(string $switch, string $name): void {
        global $DB;
        quiz_form::set((int) $DB->get_field('quiz', 'id', ['name' => $name], MUST_EXIST), [$switch => 1]);
    }

    #[\Override]
    protected function resolve_page_instance_url(string $type, string $identifier): moodle_url {
        if (strtolower($type) !== 'board') {
            throw new Exception("There is no page of the type $type.");
        }
        return new moodle_url('/local/examstream/board.php', ['cmid' => $this->get_cm_by_activity_name('quiz', $identifier)->id]);
    }
}
