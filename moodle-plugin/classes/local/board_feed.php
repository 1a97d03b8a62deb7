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
 * What has changed on a board, read from the state store once for all who look.
 *
 * The store is asked at most each {@see self::FRESH} seconds, for what has changed since it was asked before. These steps are
 * kept for a while in a cache, one after the other: who comes with the version at the end of a step is told all later ones.
 * Who comes with another version is answered by the store itself, and is then told the version of the last step, from which
 * the next ones follow: rows may be told twice so, and never be missed. So the store reads each change once, whether one
 * invigilator looks or fifty.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class board_feed {
    /** Seconds for which the last step is new enough. With the time between two looks, a change is seen within 3 s. */
    public const FRESH = 0.5;

    /** Seconds for which steps are kept. */
    private const KEPT = 6.0;

    /**
     * The constructor.
     *
     * @param backend $backend
     */
    public function __construct(
        /** @var backend the stream and its state. */
        private readonly backend $backend,
    ) {
    }

    /**
     * What has changed since a version.
     *
     * @param int $quiz
     * @param int $since 0: everything.
     * @return array as {@see backend::board()}; an attempt that was erased has null for a row.
     * @throws \Throwable when the store cannot be asked in time.
     */
    public function read(int $quiz, int $since): array {
        $told = $this->told($quiz, $since);
        if ($told !== null && !$told['old']) {
            return $told;
        }
        // One asks the store; nobody waits for it: there is either something to tell meanwhile, or the next try.
        $lock = \core\lock\lock_config::get_lock_factory('local_examstream_board')->get_lock("quiz$quiz", 0);
        if (!$lock) {
            return $told ?? ['version' => $since, 'more' => true, 'reset' => false, 'rows' => [], 'signals' => []];
        }
        try {
            // Somebody else may just have asked.
            $told = $this->told($quiz, $since);
            return $told !== null && !$told['old'] ? $told : $this->ask($quiz, $since, $told);
        } finally {
            $lock->release();
        }
    }

    /**
     * What the kept steps tell.
     *
     * @param int $quiz
     * @param int $since
     * @return array|null null: nothing, no step begins or ends there. Else as {@see self::read()}, and whether it is old.
     */
    private function told(int $quiz, int $since): ?array {
        $steps = self::steps($quiz);
        $rows = self::after($steps, $since);
        $last = end($steps);
        return $rows === null ? null
            : ['rows' => $rows, 'old' => $last['more'] || $last['time'] <= site::now() - self::FRESH] + $last;
    }

    /**
     * Asks the store, and keeps what it says as a step.
     *
     * @param int $quiz
     * @param int $since
     * @param array|null $told what the kept steps tell.
     * @return array as {@see self::read()}.
     */
    private function ask(int $quiz, int $since, ?array $told): array {
        $steps = self::steps($quiz);
        $last = end($steps) ?: null;
        $from = $told['version'] ?? $since;
        $board = $this->backend->board(site::id(), $quiz, $from) + ['reset' => false, 'erased' => []];
        $board['rows'] += array_fill_keys($board['erased'], null);
        unset($board['erased']);
        $cache = \cache::make('local_examstream', 'board');
        if ($board['reset']) {
            $cache->delete((string) $quiz);
        } else if ($told !== null || !$last || $since > $last['version']) {
            // The first who comes begins a row of steps.
            $step = ['since' => $from, 'time' => site::now()] + $board;
            $cache->set((string) $quiz, $told === null ? [$step] : [...$steps, $step]);
            $board['rows'] += $told['rows'] ?? [];
        } else if (!$board['more'] && $last['version'] <= $board['version']) {
            $board['version'] = $last['version'];
        }
        return $board;
    }

    /**
     * The steps that are kept.
     *
     * @param int $quiz
     * @return array[]
     */
    private static function steps(int $quiz): array {
        $steps = \cache::make('local_examstream', 'board')->get((string) $quiz) ?: [];
        return array_values(array_filter($steps, fn($step) => $step['time'] > site::now() - self::KEPT));
    }

    /**
     * The rows of the steps that follow a version.
     *
     * @param array[] $steps
     * @param int $since
     * @return array[]|null attempt => row; null: no step begins or ends there.
     */
    private static function after(array $steps, int $since): ?array {
        if ($steps && end($steps)['version'] === $since) {
            return [];
        }
        $rows = null;
        foreach ($steps as $step) {
            if ($rows !== null || $step['since'] === $since) {
                // Later rows in place of earlier ones.
                $rows = $step['rows'] + ($rows ?? []);
            }
        }
        return $rows;
    }
}
