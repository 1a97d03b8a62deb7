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
 * The story of an attempt was viewed.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class story_viewed extends \core\event\base {
    /**
     * The event, about an attempt.
     *
     * @param \context_module $context
     * @param \stdClass $attempt the row of quiz_attempts.
     * @return self
     */
    public static function create_strict(\context_module $context, \stdClass $attempt): self {
        return self::create(['context' => $context, 'objectid' => $attempt->id, 'relateduserid' => $attempt->userid]);
    }

    #[\Override]
    public static function get_objectid_mapping(): array {
        return ['db' => 'quiz_attempts', 'restore' => 'quiz_attempt'];
    }

    #[\Override]
    protected function init(): void {
        $this->data['crud'] = 'r';
        $this->data['edulevel'] = self::LEVEL_TEACHING;
        $this->data['objecttable'] = 'quiz_attempts';
    }

    #[\Override]
    public static function get_name(): string {
        return get_string('event_story_viewed', 'local_examstream');
    }

    #[\Override]
    public function get_description(): string {
        return "The user with id '$this->userid' viewed the story of the attempt with id '$this->objectid' "
            . "of the user with id '$this->relateduserid', an attempt of the quiz "
            . "with course module id '$this->contextinstanceid'.";
    }

    #[\Override]
    public function get_url(): \moodle_url {
        return new \moodle_url('/local/examstream/attempt.php', ['attempt' => $this->objectid]);
    }
}
