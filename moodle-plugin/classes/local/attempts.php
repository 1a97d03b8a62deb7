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
 * Grants read from the database.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class attempts {
    /**
     * What may be written about an attempt.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param int[] $slots slot => question_attempts.id, {@see self::questions()}.
     * @param float $now
     * @param int $switches what is on besides answers, {@see switches::of_quiz()}.
     * @return grant for a page that is made now.
     */
    public static function grant(\stdClass $attempt, array $slots, float $now, int $switches = 0): grant {
        return new grant(
            site::id(),
            (int) $attempt->id,
            (int) $attempt->userid,
            (int) $attempt->quiz,
            (int) $attempt->uniqueid,
            $slots,
            page::mint($now),
            self::expiry($attempt, $now),
            (bool) $attempt->preview,
            $switches,
        );
    }

    /**
     * The questions in the slots of an attempt's layout.
     *
     * The usage may have more: a question that was redone lives on in a slot behind the layout.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @return array[] slot => ['qa' => question_attempts.id, 'qtype' => string, 'page' => int]
     */
    public static function questions(\stdClass $attempt): array {
        global $DB;
        $rows = $DB->get_records_sql(
            "SELECT qa.slot, qa.id, q.qtype
               FROM {question_attempts} qa
               JOIN {question} q ON q.id = qa.questionid
              WHERE qa.questionusageid = ?",
            [$attempt->uniqueid]
        );
        $questions = [];
        $page = 0;
        foreach (explode(',', $attempt->layout) as $slot) {
            if (!(int) $slot) {
                $page++;
            } else if (isset($rows[$slot])) {
                $questions[(int) $slot] = ['qa' => (int) $rows[$slot]->id, 'qtype' => $rows[$slot]->qtype, 'page' => $page];
            }
        }
        return $questions;
    }

    /**
     * What lies at each position of multiple choice questions, which are shuffled for each attempt and posted as positions.
     *
     * Whoever compares what students chose needs it: the question engine keeps it as `_order`.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @return array[] slot => ids of the answers (question_answers.id), from the first position on.
     */
    public static function orders(\stdClass $attempt): array {
        global $DB;
        $orders = $DB->get_records_sql_menu(
            "SELECT qa.slot, d.value
               FROM {question_attempts} qa
               JOIN {question_attempt_steps} s ON s.questionattemptid = qa.id AND s.sequencenumber = 0
               JOIN {question_attempt_step_data} d ON d.attemptstepid = s.id
              WHERE qa.questionusageid = ? AND d.name = '_order'",
            [$attempt->uniqueid]
        );
        return array_map(fn($order) => array_map(intval(...), explode(',', $order)), $orders);
    }

    /**
     * The question in each slot, which is another one in each attempt where questions are drawn at random.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @return int[] slot => question.id
     */
    public static function question_ids(\stdClass $attempt): array {
        global $DB;
        $of = ['questionusageid' => $attempt->uniqueid];
        return array_map(intval(...), $DB->get_records_menu('question_attempts', $of, 'slot', 'slot, questionid'));
    }

    /**
     * When the doors close for an attempt that nobody finishes.
     *
     * Moodle itself takes a form until the end and graceperiodmin seconds; later answers would be a gift of time.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     * @param float $now
     * @return int Unix time.
     */
    private static function expiry(\stdClass $attempt, float $now): int {
        $expires = (int) $now + (int) site::setting('tokenlife');
        if (empty($attempt->timecheckstate) || $attempt->preview) {
            return $expires;
        }
        return min($expires, $attempt->timecheckstate + (int) get_config('quiz', 'graceperiodmin'));
    }
}
