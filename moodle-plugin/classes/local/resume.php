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

use local_examstream\event\answers_restored;
use mod_quiz\quiz_attempt;
use question_attempt;
use question_engine;
use question_usage_by_activity;

/**
 * Brings answers from the stream back into an attempt, through the question engine, as autosaved responses.
 *
 * It promises that a page looks as if Moodle itself had saved each answer the moment it was given, that doing it
 * twice adds nothing, and that a failure leaves the attempt as it was. Which of two answers is newer was decided in
 * the stream; here is only decided whether it still belongs to what stands in the slot: the same usage, question
 * attempt and student, given after the attempt and the question were started, on the response that the page showed.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class resume {
    /** Seconds by which the clocks of two web servers may differ: one started the attempt, another made the page. */
    private const CLOCK_SKEW = 5.0;

    /** @var array[] states read in this request, by attempt: the page that shows one asks for more of it. */
    private static array $states = [];

    /**
     * Restores an attempt of the current user.
     *
     * @param int $attemptid
     * @return int[] slots that changed.
     */
    public static function attempt(int $attemptid): array {
        global $DB, $USER;
        capture::blind($attemptid, false);
        $state = self::state($attemptid);
        $answers = self::unsaved($state);
        if (!$answers) {
            return [];
        }
        $attempt = $DB->get_record('quiz_attempts', ['id' => $attemptid, 'userid' => $USER->id]);
        if (
            !$attempt || !in_array($attempt->state, [quiz_attempt::IN_PROGRESS, quiz_attempt::OVERDUE], true)
                || !self::belongs($state, $attempt) || !site::is_quiz_enabled((int) $attempt->quiz)
        ) {
            return [];
        }
        try {
            return self::apply($attempt, $answers);
        } catch (\Throwable $e) {
            // Duplicate keys are normal here: another request of the student saves the same slot.
            site::note("restoring attempt $attemptid", $e);
            capture::blind($attemptid, true);
            return [];
        }
    }

    /**
     * The folded state of an attempt, null if there is none or the store cannot be asked.
     *
     * @param int $attemptid
     * @return array|null
     */
    private static function state(int $attemptid): ?array {
        $backend = \core\di::get(backend::class);
        unset(self::$states[$attemptid]);
        if (!$backend->is_available()) {
            return null;
        }
        try {
            return self::$states[$attemptid] = $backend->state(site::id(), $attemptid);
        } catch (\Throwable $e) {
            site::note('asking the state store', $e);
            capture::blind($attemptid, true);
            return null;
        }
    }

    /**
     * The state of an attempt as it was read in this request.
     *
     * @param int $attemptid
     * @return array|null
     */
    public static function known_state(int $attemptid): ?array {
        return self::$states[$attemptid] ?? null;
    }

    /**
     * The answers that no form post has brought to Moodle.
     *
     * @param array|null $state
     * @return array[] slot => answer
     */
    public static function unsaved(?array $state): array {
        return array_filter($state['slots'] ?? [], fn($answer) => !$answer['saved']);
    }

    /**
     * Whether a state is that of this attempt: after a database was restored, ids are given out again.
     *
     * @param array $state
     * @param \stdClass $attempt the row of quiz_attempts.
     * @return bool
     */
    public static function belongs(array $state, \stdClass $attempt): bool {
        return $state['usage'] === (int) $attempt->uniqueid
            && $state['student_id'] === (int) $attempt->userid
            && $state['quiz'] === (int) $attempt->quiz;
    }

    /**
     * Saves answers in the attempt's question usage: all of them, or none and throws.
     *
     * The current user must be the attempt's.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param array[] $answers slot => answer
     * @return int[] slots that changed.
     */
    public static function apply(\stdClass $attempt, array $answers): array {
        global $CFG, $DB;
        require_once($CFG->libdir . '/questionlib.php');
        $transaction = $DB->start_delegated_transaction();
        try {
            $usage = question_engine::load_questions_usage_by_activity($attempt->uniqueid);
            $changed = [];
            foreach (self::of_attempt($attempt, $answers) as $slot => $answer) {
                if (self::apply_to_slot($usage, $slot, $answer)) {
                    $changed[] = $slot;
                }
            }
            if ($changed) {
                question_engine::save_questions_usage_by_activity($usage);
            }
            $transaction->allow_commit();
        } catch (\Throwable $e) {
            $transaction->rollback($e);
        }
        if ($changed) {
            self::log($attempt, $changed);
        }
        return $changed;
    }

    /**
     * Tells Moodle's log, where a dispute is looked into.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param int[] $slots
     */
    private static function log(\stdClass $attempt, array $slots): void {
        try {
            answers_restored::create_strict($attempt, $slots)->trigger();
        } catch (\Throwable $e) {
            site::note('logging what was restored', $e);
        }
    }

    /**
     * Those answers that were given in this attempt, in slots that it has.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param array[] $answers slot => answer
     * @return array[] slot => answer
     */
    public static function of_attempt(\stdClass $attempt, array $answers): array {
        $layout = array_flip(array_filter(explode(',', $attempt->layout)));
        return array_filter(
            array_intersect_key($answers, $layout),
            fn($answer) => $answer['at'] >= $attempt->timestart - self::CLOCK_SKEW
        );
    }

    /**
     * Whether an answer was given to this question attempt.
     *
     * A redone question is another one; an edited preview's starts anew under the same id.
     *
     * @param question_attempt $qa
     * @param array $answer
     * @return bool
     */
    public static function is_for(question_attempt $qa, array $answer): bool {
        return (int) $qa->get_database_id() === $answer['qa']
            && $answer['at'] >= $qa->get_step(0)->get_timecreated() - self::CLOCK_SKEW;
    }

    /**
     * Saves an answer in its slot, if it belongs to what stands there.
     *
     * @param question_usage_by_activity $usage
     * @param int $slot
     * @param array $answer
     * @return bool whether the slot changed.
     */
    private static function apply_to_slot(question_usage_by_activity $usage, int $slot, array $answer): bool {
        $qa = $usage->get_question_attempt($slot);
        if (!self::is_for($qa, $answer) || $qa->get_state()->is_finished()) {
            return false;
        }
        $post = self::as_post($qa, $answer['fields']);
        if (!$usage->is_autosave_required($slot, $post) || self::lacks_files($qa, $post, $usage->get_owning_context())) {
            return false;
        }
        $before = $qa->get_last_step();
        $usage->process_autosave($slot, $usage->extract_responses($slot, $post), (int) $answer['at']);
        return $qa->get_last_step() !== $before;
    }

    /**
     * The fields as the attempt's form would post them.
     *
     * Without flags, which the engine takes without looking at the sequence, and without what is no response.
     *
     * @param question_attempt $qa
     * @param string[] $fields
     * @return string[]
     */
    public static function as_post(question_attempt $qa, array $fields): array {
        $post = [];
        foreach (array_diff_key($fields, array_flip([':flagged', ...saved_response::NO_RESPONSE])) as $name => $value) {
            $post[$qa->get_field_prefix() . $name] = $value;
        }
        return $post;
    }

    /**
     * Whether files that Moodle has saved with this question would be lost, because their draft area is gone.
     *
     * @param question_attempt $qa
     * @param string[] $post
     * @param \context $owner the context of the usage, where files of responses are.
     * @return bool
     */
    private static function lacks_files(question_attempt $qa, array $post, \context $owner): bool {
        global $USER;
        $expected = $qa->get_question()->get_expected_data();
        foreach (is_array($expected) ? $expected : [] as $name => $type) {
            $itemid = match ($type) {
                question_attempt::PARAM_FILES => $name,
                question_attempt::PARAM_RAW_FILES => $name . ':itemid',
                default => null,
            };
            if ($itemid === null) {
                continue;
            }
            $draft = (int) ($post[$qa->get_field_prefix() . $itemid] ?? 0);
            $context = \context_user::instance($USER->id);
            // An area that the student has emptied still has its directory.
            $exists = $draft && get_file_storage()->file_exists($context->id, 'user', 'draft', $draft, '/', '.');
            if (!$exists && $qa->get_last_qt_files($name, $owner->id)) {
                return true;
            }
        }
        return false;
    }
}
