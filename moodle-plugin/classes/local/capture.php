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
 * Gives an attempt page what the script needs to write its answers.
 *
 * Only a page on which Moodle said in this very request that the attempt is viewed gets a token: the page that
 * refuses a password, an address or a browser fires the same footer hooks with the same parameters.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class capture {
    /** @var \stdClass|null the attempt that is viewed in this request. */
    private static ?\stdClass $viewed = null;

    /** Pages of one session that are remembered because they may show less than the stream has. */
    private const MAX_BLIND = 20;

    /** @var bool[] attempts, by id, whose streamed answers could not be brought back in this request. */
    private static array $blind = [];

    /**
     * Moodle has let the student see this attempt.
     *
     * @param \stdClass|null $attempt the row of quiz_attempts.
     */
    public static function viewed(?\stdClass $attempt): void {
        self::$viewed = $attempt;
    }

    /**
     * Answers of an attempt were restored. The next page of it says so: often an earlier request has done it, because
     * the student came by the quiz's own page.
     *
     * @param int $attemptid
     * @param int[] $slots
     */
    public static function restored(int $attemptid, array $slots): void {
        global $SESSION;
        if ($slots) {
            $before = $SESSION->local_examstream_restored[$attemptid] ?? [];
            $SESSION->local_examstream_restored[$attemptid] = array_values(array_unique([...$before, ...$slots]));
        }
    }

    /**
     * Whether a page of an attempt, shown in this request, may lack answers that are in the stream: the state store
     * could not be asked, or what it said could not be saved.
     *
     * @param int $attemptid
     * @param bool $blind
     */
    public static function blind(int $attemptid, bool $blind): void {
        self::$blind[$attemptid] = $blind;
    }

    /**
     * Whether a page was shown that may have lacked answers. Posting it brings Moodle older ones: that is no reason not
     * to restore the newer ones later.
     *
     * @param string $page page instance
     * @return bool
     */
    public static function was_blind(string $page): bool {
        global $SESSION;
        return in_array(strtok($page, '.'), $SESSION->local_examstream_blind ?? [], true);
    }

    /**
     * Remembers a page that is shown blind.
     *
     * @param int $attemptid
     * @param string $page as it is minted
     */
    private static function remember_blind(int $attemptid, string $page): void {
        global $SESSION;
        if (!empty(self::$blind[$attemptid])) {
            $before = $SESSION->local_examstream_blind ?? [];
            $SESSION->local_examstream_blind = array_slice([...$before, $page], -self::MAX_BLIND);
        }
    }

    /**
     * The slots whose answers were restored since the attempt was last shown.
     *
     * @param int $attemptid
     * @return int[]
     */
    private static function take_restored(int $attemptid): array {
        global $SESSION;
        $slots = $SESSION->local_examstream_restored[$attemptid] ?? [];
        unset($SESSION->local_examstream_restored[$attemptid]);
        return $slots;
    }

    /**
     * Whether anything of a quiz can be streamed.
     *
     * @param int $quizid
     * @return bool
     */
    public static function is_possible(int $quizid): bool {
        return \core\di::get(backend::class)->is_available() && site::is_quiz_enabled($quizid);
    }

    /**
     * What the script is told.
     *
     * @param int $pagenumber of the attempt.
     * @return array|null null: this page has nothing to write.
     */
    public static function config(int $pagenumber): ?array {
        global $DB;
        $attempt = self::$viewed;
        if (
            $attempt === null || $attempt->state !== \mod_quiz\quiz_attempt::IN_PROGRESS
                || !self::is_possible((int) $attempt->quiz)
        ) {
            return null;
        }
        $questions = attempts::questions($attempt);
        if ($DB->get_field('quiz', 'navmethod', ['id' => $attempt->quiz]) === QUIZ_NAVMETHOD_SEQ) {
            $questions = array_filter($questions, fn($question) => $question['page'] === $pagenumber);
        }
        $now = site::now();
        $switches = switches::of_quiz((int) $attempt->quiz);
        $grant = attempts::grant($attempt, array_map(fn($question) => $question['qa'], $questions), $now, $switches);
        $mode = site::setting('mode');
        self::remember_blind($grant->attempt, $grant->page);
        return [
            'mode' => $mode,
            'url' => (new \moodle_url('/local/examstream/put.php'))->out(false),
            'token' => $mode === 'door' ? keys::sign($grant) : '',
            'site' => $grant->site,
            'attempt' => $grant->attempt,
            'user' => $grant->user,
            'usage' => $grant->usage,
            'page' => $grant->page,
            'minted' => page::minted($grant->page),
            'slots' => (object) $questions,
            'aliveseconds' => (int) site::setting('aliveseconds'),
            'maxrecord' => site::limits()['maxrecord'],
            'restored' => self::take_restored($grant->attempt),
            'preview' => $grant->preview,
            'switches' => switches::names($switches),
            // A store that cannot be asked now is asked by the script.
            'help' => $grant->has('helpdesk')
                ? (new helpdesk($grant, resume::known_state($grant->attempt)))->news(null) : null,
        ];
    }
}
