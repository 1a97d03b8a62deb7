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

use mod_quiz\quiz_attempt;
use mod_quiz\quiz_settings;
use question_attempt;
use question_engine;
use question_usage_by_activity;

/**
 * Brings answers into an attempt that the clock has closed without them.
 *
 * Moodle's cron and ours may meet a silent attempt in either order. If Moodle came first, the questions are finished
 * with what it had. For each question whose student had answered otherwise, in time, the finish is taken back, the
 * answer saved as it would have been, and the question finished again at the same moment. It touches nothing that
 * anybody has done since, and nothing that a student finished.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class late_answers {
    /**
     * Brings them in. The current user must be the attempt's.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param array|null $state the folded state.
     * @return int[] slots that changed.
     */
    public static function bring_in(\stdClass $attempt, ?array $state): array {
        $answers = resume::of_attempt($attempt, resume::unsaved($state));
        if (!$answers || !resume::belongs($state, $attempt)) {
            return [];
        }
        if ($attempt->state !== quiz_attempt::FINISHED) {
            return resume::apply($attempt, $answers);
        }
        return self::finish_again($attempt, $answers);
    }

    /**
     * Finishes questions again, with the answers that came before the finish.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param array[] $answers slot => answer
     * @return int[] slots that changed.
     */
    private static function finish_again(\stdClass $attempt, array $answers): array {
        global $DB;
        $transaction = $DB->start_delegated_transaction();
        try {
            $usage = question_engine::load_questions_usage_by_activity($attempt->uniqueid);
            $mapper = new \question_engine_data_mapper();
            $finishes = [];
            foreach ($answers as $slot => $answer) {
                $steps = self::steps_to_replace($usage, $slot, $answer);
                if ($steps) {
                    $finishes[$slot] = end($steps)->get_timecreated();
                    $stepids = array_map(fn($step) => $step->get_id(), $steps);
                    $mapper->delete_steps($stepids, $usage->get_owning_context());
                }
            }
            if ($finishes) {
                resume::apply($attempt, array_intersect_key($answers, $finishes));
                // Loaded again: an autosaved response becomes a real one only when it comes from the database.
                $usage = question_engine::load_questions_usage_by_activity($attempt->uniqueid);
                foreach ($finishes as $slot => $finished) {
                    if (!self::is_there($usage->get_question_attempt($slot), $answers[$slot])) {
                        throw new \moodle_exception('error_lateanswer', 'local_examstream', '', $attempt->id);
                    }
                    $usage->finish_question($slot, $finished);
                }
                question_engine::save_questions_usage_by_activity($usage);
                $DB->set_field('quiz_attempts', 'sumgrades', $usage->get_total_mark(), ['id' => $attempt->id]);
                quiz_settings::create($attempt->quiz)->get_grade_calculator()->recompute_final_grade((int) $attempt->userid);
            }
            $transaction->allow_commit();
            return array_keys($finishes);
        } catch (\Throwable $e) {
            $transaction->rollback($e);
        }
    }

    /**
     * The steps that would not be there, had the answer come before the finish: the finish itself and the autosaved
     * response that it made a real one. None, if they are anything else, or if the answer is there already.
     *
     * @param question_usage_by_activity $usage
     * @param int $slot
     * @param array $answer
     * @return \question_attempt_step[]
     */
    private static function steps_to_replace(question_usage_by_activity $usage, int $slot, array $answer): array {
        $qa = $usage->get_question_attempt($slot);
        // As many steps as the page showed stay.
        $shown = (int) ($answer['fields'][':sequencecheck'] ?? 0);
        $steps = array_slice(iterator_to_array($qa->get_step_iterator()), $shown);
        $finish = end($steps);
        if ($shown < 1 || count($steps) > 2 || !$finish || !$finish->has_behaviour_var('finish')) {
            return [];
        }
        $response = count($steps) === 2 ? $steps[0]->get_submitted_data() : [];
        if (array_intersect_key($response, array_flip(saved_response::NO_RESPONSE))) {
            return [];
        }
        return resume::is_for($qa, $answer) && !self::is_there($qa, $answer) ? $steps : [];
    }

    /**
     * Whether this very answer is what a question has as its response.
     *
     * @param question_attempt $qa
     * @param array $answer
     * @return bool
     */
    private static function is_there(question_attempt $qa, array $answer): bool {
        $question = $qa->get_question();
        return $question instanceof \question_manually_gradable
            && (string) $qa->get_last_behaviour_var('certainty') === ($answer['fields']['-certainty'] ?? '')
            && $question->is_same_response($qa->get_last_qt_data(), self::given($qa, $answer));
    }

    /**
     * An answer's response as the engine reads it; a finished question no longer says that it expects one.
     *
     * @param question_attempt $qa
     * @param array $answer
     * @return array
     */
    private static function given(question_attempt $qa, array $answer): array {
        $post = resume::as_post($qa, $answer['fields']);
        $expected = $qa->get_question()->get_expected_data();
        if (!is_array($expected)) {
            return $qa->get_all_submitted_qt_vars($post);
        }
        $given = [];
        foreach ($expected as $name => $type) {
            $given[$name] = $qa->get_submitted_var($qa->get_qt_field_name($name), $type, $post);
        }
        return array_filter($given, fn($value) => $value !== null);
    }
}
