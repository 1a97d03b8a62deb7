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

namespace local_examstream\task;

use local_examstream\local\backend;
use local_examstream\local\resume;
use local_examstream\local\site;
use mod_quiz\quiz_attempt;

/**
 * Brings the streamed answers of students who fell silent into their attempts, before Moodle's cron closes those.
 *
 * Only attempts without a living page: between a submit's loading and saving, an autosave from here would empty the
 * response. Holds the lock of Moodle's own task meanwhile. Each minute it also lets a site send whose web server
 * keeps no PHP process between requests.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class fold_silent_attempts extends \core\task\scheduled_task {
    /** An attempt is silent after this many seconds, or three signs of life that did not come. */
    private const SILENT_FOR = 60;

    /** Attempts older than this are brought up to date when their student comes back, or after they are closed. */
    private const STARTED_WITHIN = 7 * DAYSECS;

    /** Moodle's own task waits for at most so many seconds; what is left then is done in the next minute. */
    private const WORK_FOR = 40;

    /** Seconds to wait for the lock of Moodle's own task. */
    private const LOCK_WITHIN = 10;

    /** Seconds to wait for what this server's spool still holds. */
    private const FLUSH_FOR = 10.0;

    #[\Override]
    public function get_name(): string {
        return get_string('task_fold_silent_attempts', 'local_examstream');
    }

    #[\Override]
    public function execute(): void {
        $backend = \core\di::get(backend::class);
        if (!$backend->is_available()) {
            mtrace('  The PHP extension exam_stream is not loaded.');
            return;
        }
        if (!site::setting('enabled')) {
            return;
        }
        $this->send($backend);
        $lock = $this->locks()->get_lock('\\' . \mod_quiz\task\update_overdue_attempts::class, self::LOCK_WITHIN);
        if (!$lock) {
            mtrace('  Moodle is closing attempts; the next run brings answers in.');
            return;
        }
        try {
            $this->fold($backend);
        } finally {
            \core\cron::setup_user();
            $lock->release();
        }
    }

    /**
     * Sends what this server's spool still holds. Cron's user may be one to whom the spool is closed: that costs no answer.
     *
     * @param backend $backend
     */
    private function send(backend $backend): void {
        try {
            if (!$backend->flush(self::FLUSH_FOR)) {
                mtrace('  The spool of this server is not empty yet; see the status report.');
            }
        } catch (\Throwable $e) {
            mtrace('  The spool of this server cannot be sent: ' . $e->getMessage());
        }
    }

    /**
     * Where cron has its locks.
     *
     * @return \core\lock\lock_factory
     */
    protected function locks(): \core\lock\lock_factory {
        return \core\lock\lock_config::get_lock_factory('cron');
    }

    /**
     * Folds what is silent.
     *
     * @param backend $backend
     */
    private function fold(backend $backend): void {
        global $CFG;
        require_once($CFG->dirroot . '/mod/quiz/locallib.php');
        $now = \core\di::get(\core\clock::class)->time();
        $silentsince = $now - max(self::SILENT_FOR, 3 * (int) site::setting('aliveseconds'));
        $done = \cache::make('local_examstream', 'folded');
        $deadline = microtime(true) + self::WORK_FOR;
        $attempts = $this->open_attempts($now);
        $folded = 0;
        foreach ($attempts as $attempt) {
            if (microtime(true) > $deadline) {
                mtrace('  Out of time; the next run goes on.');
                break;
            }
            // A store that cannot be asked fails the task: that is what an operator is told of.
            $state = $backend->state(site::id(), (int) $attempt->id);
            $answers = resume::unsaved($state);
            if (!$answers || $state['last_seen'] > $silentsince || !resume::belongs($state, $attempt)) {
                continue;
            }
            $fingerprint = sha1(implode(' ', array_column($answers, 'id')));
            if ($done->get($attempt->id) === $fingerprint) {
                continue;
            }
            $folded += $this->fold_attempt($attempt, $answers);
            $done->set($attempt->id, $fingerprint);
        }
        $attempts->close();
        mtrace("  $folded answers brought in.");
    }

    /**
     * Folds an attempt as its student; one that fails keeps no other waiting.
     *
     * @param \stdClass $attempt
     * @param array[] $answers
     * @return int how many answers were brought in.
     */
    private function fold_attempt(\stdClass $attempt, array $answers): int {
        try {
            \core\cron::setup_user(\core_user::get_user($attempt->userid, '*', MUST_EXIST));
            return count(resume::apply($attempt, $answers));
        } catch (\Throwable $e) {
            site::note("bringing answers into attempt {$attempt->id}", $e);
            mtrace("  Attempt {$attempt->id} failed: " . get_class($e));
            return 0;
        }
    }

    /**
     * The attempts that still take answers.
     *
     * @param int $now
     * @return \moodle_recordset of quiz_attempts.
     */
    private function open_attempts(int $now): \moodle_recordset {
        global $DB;
        return $DB->get_recordset_sql(
            "SELECT a.*
               FROM {quiz_attempts} a
          LEFT JOIN {local_examstream_quiz} s ON s.quizid = a.quiz
              WHERE a.state IN (:inprogress, :overdue)
                AND a.preview = 0
                AND a.timestart > :since
                AND COALESCE(s.enabled, :quizdefault) = 1
           ORDER BY a.timecheckstate, a.id",
            [
                'inprogress' => quiz_attempt::IN_PROGRESS,
                'overdue' => quiz_attempt::OVERDUE,
                'since' => $now - self::STARTED_WITHIN,
                'quizdefault' => (int) site::setting('quizdefault'),
            ]
        );
    }
}
