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

use core\event\base;
use local_examstream\local\attempts;
use local_examstream\local\backend;
use local_examstream\local\capture;
use local_examstream\local\closed;
use local_examstream\local\erasures;
use local_examstream\local\page;
use local_examstream\local\reporter;
use local_examstream\local\saved_response;
use local_examstream\local\site;
use mod_quiz\quiz_attempt;

/**
 * Observers of the quiz's events. Nothing of ours may break a page: each of them ends in a log line at worst.
 *
 * Events carry ids, never responses. What a page with our script posts is in the stream already, by the time it is
 * posted; its hidden field says so. What is posted without it is read from the question usage.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class observer {
    /**
     * Moodle has let the student see the attempt.
     *
     * @param \mod_quiz\event\attempt_viewed $event
     */
    public static function attempt_viewed(\mod_quiz\event\attempt_viewed $event): void {
        try {
            capture::viewed(self::attempt($event));
        } catch (\Throwable $e) {
            site::note('noticing the viewed attempt', $e);
        }
    }

    /**
     * An attempt or a preview was started, in a transaction that is not over. Whether its quiz streams may change.
     *
     * @param base $event
     */
    public static function attempt_exists(base $event): void {
        try {
            erasures::note('a.id = :attempt', ['attempt' => $event->objectid]);
        } catch (\Throwable $e) {
            site::note('noting an attempt', $e);
        }
    }

    /**
     * An attempt or a preview was started.
     *
     * @param base $event
     */
    public static function attempt_started(base $event): void {
        self::report($event, function (reporter $reporter, \stdClass $attempt): void {
            $reporter->lifecycle('started', [
                'slots' => array_map(fn($question) => $question['qa'], attempts::questions($attempt)),
                'order' => attempts::orders($attempt),
                'questions' => attempts::question_ids($attempt),
            ]);
        });
    }

    /**
     * A form was posted, or the app saved and went on.
     *
     * @param base $event
     */
    public static function attempt_updated(base $event): void {
        self::report($event, function (reporter $reporter, \stdClass $attempt): void {
            $field = self::field();
            $posted = self::posted_slots($attempt);
            if ($field === null) {
                self::report_responses($reporter, $attempt, $posted);
            }
            $reporter->saved($posted, $field);
        });
    }

    /**
     * Moodle's own autosave, or the app's.
     *
     * @param base $event
     */
    public static function attempt_autosaved(base $event): void {
        self::report($event, function (reporter $reporter, \stdClass $attempt): void {
            if (self::field() !== null) {
                // The page's script has streamed it. A barrier here would be wrong: a forgotten second tab autosaves
                // what it was loaded with, over newer answers.
                return;
            }
            $withfiles = self::report_responses($reporter, $attempt, self::posted_slots($attempt));
            if ($withfiles) {
                $reporter->saved($withfiles, null);
            }
        });
    }

    /**
     * An attempt was finished, by the student or by the clock.
     *
     * @param base $event
     */
    public static function attempt_submitted(base $event): void {
        self::close($event->objectid);
        self::report($event, function (reporter $reporter, \stdClass $attempt) use ($event): void {
            if (!empty($event->other['studentisonline']) && self::field() === null) {
                self::report_responses($reporter, $attempt, self::posted_slots($attempt));
            }
            $reporter->lifecycle('finished');
        });
        self::bring_in_late_answers($event);
    }

    /**
     * The time is over, the attempt waits for being submitted.
     *
     * @param base $event
     */
    public static function attempt_becameoverdue(base $event): void {
        self::close($event->objectid);
        self::report($event, fn(reporter $reporter) => $reporter->lifecycle('overdue'));
    }

    /**
     * An attempt was never submitted.
     *
     * @param base $event
     */
    public static function attempt_abandoned(base $event): void {
        self::close($event->objectid);
        self::report($event, fn(reporter $reporter) => $reporter->lifecycle('abandoned'));
        self::bring_in_late_answers($event);
    }

    /**
     * An attempt was opened again.
     *
     * @param base $event
     */
    public static function attempt_reopened(base $event): void {
        try {
            closed::clear($event->objectid);
        } catch (\Throwable $e) {
            site::note('opening the door again', $e);
        }
        self::report($event, fn(reporter $reporter) => $reporter->lifecycle('reopened'));
    }

    /**
     * An attempt is reviewed. It is the only event that follows the end of a preview.
     *
     * @param base $event
     */
    public static function attempt_reviewed(base $event): void {
        try {
            $attempt = self::attempt($event);
            if (!$attempt->preview || $attempt->state !== quiz_attempt::FINISHED || closed::is_marked($event->objectid)) {
                return;
            }
        } catch (\Throwable $e) {
            site::note('noticing the end of a preview', $e);
            return;
        }
        self::close($event->objectid);
        self::report($event, fn(reporter $reporter) => $reporter->lifecycle('finished'));
    }

    /**
     * An attempt was deleted; its page may still be open. The stream is told by a task, see {@see erasures}.
     *
     * @param base $event
     */
    public static function attempt_deleted(base $event): void {
        self::close($event->objectid);
    }

    /**
     * A quiz or its course was deleted.
     *
     * @param \core\event\course_module_deleted $event
     */
    public static function course_module_deleted(\core\event\course_module_deleted $event): void {
        global $DB;
        try {
            if ($event->other['modulename'] === 'quiz') {
                $DB->delete_records('local_examstream_quiz', ['quizid' => $event->other['instanceid']]);
            }
        } catch (\Throwable $e) {
            site::note('deleting the settings of a quiz', $e);
        }
    }

    /**
     * The attempt of an event.
     *
     * @param base $event
     * @return \stdClass the row of quiz_attempts.
     */
    private static function attempt(base $event): \stdClass {
        return $event->get_record_snapshot('quiz_attempts', $event->objectid);
    }

    /**
     * Closes the door for an attempt, whether its quiz streams or not: this setting may change meanwhile.
     *
     * @param int $attemptid
     */
    private static function close(int $attemptid): void {
        try {
            closed::mark($attemptid);
        } catch (\Throwable $e) {
            site::note('closing the door', $e);
        }
    }

    /**
     * Cron may have closed an attempt before the answers of its silent student were brought back.
     *
     * Not here: another user is at work, and the stream may still be on its way into the state store.
     *
     * @param base $event
     */
    private static function bring_in_late_answers(base $event): void {
        try {
            if (empty($event->other['studentisonline']) && \core\di::get(backend::class)->is_available()) {
                task\bring_in_late_answers::queue(self::attempt($event));
            }
        } catch (\Throwable $e) {
            site::note('queueing late answers', $e);
        }
    }

    /**
     * Writes records about the attempt of an event.
     *
     * @param base $event
     * @param callable $write takes the reporter and the row of quiz_attempts.
     */
    private static function report(base $event, callable $write): void {
        try {
            if (!\core\di::get(backend::class)->is_available()) {
                return;
            }
            $attempt = self::attempt($event);
            if (!site::is_quiz_enabled((int) $attempt->quiz)) {
                return;
            }
            $reporter = new reporter($attempt);
            $write($reporter, $attempt);
            $reporter->send();
        } catch (\Throwable $e) {
            site::note('streaming ' . $event->eventname, $e);
        }
    }

    /**
     * The hidden field of our script in the form that was posted.
     *
     * The script leaves it empty while something of the page is not saved: then Moodle's copy is the better one.
     *
     * @return array|null see {@see page::parse_field()}.
     */
    private static function field(): ?array {
        $field = page::parse_field(optional_param('local_examstream', null, PARAM_RAW_TRIMMED));
        if ($field !== null && capture::was_blind($field[0])) {
            // A barrier that is older than every answer: it says that the form came, and hides nothing.
            $field[2] = 0.0;
        }
        return $field;
    }

    /**
     * The slots of the form that was posted.
     *
     * @param \stdClass $attempt
     * @return int[] slot => question_attempts.id
     */
    private static function posted_slots(\stdClass $attempt): array {
        $slots = array_map(fn($question) => $question['qa'], attempts::questions($attempt));
        $posted = optional_param('slots', null, PARAM_SEQUENCE);
        return $posted === null ? $slots : array_intersect_key($slots, array_flip(explode(',', $posted)));
    }

    /**
     * Writes the responses that this request has saved.
     *
     * @param reporter $reporter
     * @param \stdClass $attempt
     * @param int[] $slots slot => question_attempts.id
     * @return int[] those of the slots whose files only Moodle has.
     */
    private static function report_responses(reporter $reporter, \stdClass $attempt, array $slots): array {
        $usage = \question_engine::load_questions_usage_by_activity($attempt->uniqueid);
        $withfiles = [];
        foreach ($slots as $slot => $qa) {
            $response = saved_response::read($usage->get_question_attempt($slot), (int) $_SERVER['REQUEST_TIME']);
            if ($response === null) {
                continue;
            }
            $reporter->answer($slot, $qa, $response->answered, $response->fields);
            if ($response->hasfiles) {
                $withfiles[$slot] = $qa;
            }
        }
        return $withfiles;
    }
}
