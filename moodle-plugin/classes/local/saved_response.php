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

namespace local_examstream\local;

/**
 * A response as Moodle has saved it, in the form in which the attempt's page would send it.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class saved_response {
    /** Variables of behaviours that are buttons or a teacher's, no part of a response. */
    public const NO_RESPONSE = ['-submit', '-finish', '-tryagain', '-comment', '-commentformat', '-mark', '-maxmark'];

    /**
     * The constructor.
     *
     * @param string[] $fields without the prefix of usage and slot.
     * @param bool $answered whether it could be graded.
     * @param bool $hasfiles whether the question takes files, which only Moodle has.
     */
    private function __construct(
        /** @var string[] without the prefix of usage and slot. */
        public readonly array $fields,
        /** @var bool whether it could be graded. */
        public readonly bool $answered,
        /** @var bool whether the question takes files. */
        public readonly bool $hasfiles,
    ) {
    }

    /**
     * Reads the latest response of a question, if it is not older than a time.
     *
     * @param \question_attempt $qa
     * @param int $since Unix time.
     * @return self|null
     */
    public static function read(\question_attempt $qa, int $since): ?self {
        foreach ($qa->get_reverse_step_iterator() as $step) {
            if ($step->get_timecreated() < $since) {
                return null;
            }
            $fields = array_diff_key($step->get_submitted_data(), array_flip(self::NO_RESPONSE));
            if (!$fields) {
                continue;
            }
            $question = $qa->get_question();
            $expected = $question->get_expected_data();
            $files = is_array($expected)
                ? array_intersect($expected, [\question_attempt::PARAM_FILES, \question_attempt::PARAM_RAW_FILES])
                : [];
            // The value of a file field is a hash of the files: it means nothing outside of this step.
            $fields = array_diff_key($fields, array_filter($files, fn($type) => $type === \question_attempt::PARAM_FILES));
            return new self(
                array_map(strval(...), $fields) + [':sequencecheck' => (string) $qa->get_sequence_check_count()],
                $question instanceof \question_manually_gradable && $question->is_gradable_response($step->get_qt_data()),
                (bool) $files,
            );
        }
        return null;
    }
}
