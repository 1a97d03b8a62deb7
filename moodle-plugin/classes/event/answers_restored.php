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

namespace local_examstream\event;

/**
 * Answers of the stream were brought back into an attempt.
 *
 * @property-read array $other {
 *      - int quizid: the quiz.
 *      - int[] slots: whose answers.
 * }
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class answers_restored extends \core\event\base {
    /**
     * The event, about an attempt.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param int[] $slots
     * @return self
     */
    public static function create_strict(\stdClass $attempt, array $slots): self {
        $cm = get_coursemodule_from_instance('quiz', $attempt->quiz, 0, false, MUST_EXIST);
        return self::create([
            'context' => \context_module::instance($cm->id),
            'objectid' => $attempt->id,
            'relateduserid' => $attempt->userid,
            'other' => ['quizid' => (int) $attempt->quiz, 'slots' => $slots],
        ]);
    }

    #[\Override]
    public static function get_objectid_mapping(): array {
        return ['db' => 'quiz_attempts', 'restore' => 'quiz_attempt'];
    }

    #[\Override]
    public static function get_other_mapping(): array {
        return ['quizid' => ['db' => 'quiz', 'restore' => 'quiz'], 'slots' => self::NOT_MAPPED];
    }

    #[\Override]
    protected function init(): void {
        $this->data['crud'] = 'u';
        $this->data['edulevel'] = self::LEVEL_PARTICIPATING;
        $this->data['objecttable'] = 'quiz_attempts';
    }

    #[\Override]
    public static function get_name(): string {
        return get_string('event_answers_restored', 'local_examstream');
    }

    #[\Override]
    public function get_description(): string {
        return 'Answers in the slots ' . implode(', ', $this->other['slots']) . " were restored from the stream into the attempt "
            . "with id '$this->objectid' of the user with id '$this->relateduserid', an attempt of the quiz "
            . "with course module id '$this->contextinstanceid'.";
    }

    #[\Override]
    public function get_url(): \moodle_url {
        return new \moodle_url('/mod/quiz/review.php', ['attempt' => $this->objectid]);
    }
}
