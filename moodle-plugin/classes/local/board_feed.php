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
     * @return array as {@see backend::board()}.
     * @throws \Throwable when the store cannot be asked in time.
     */
    public function read(int $quiz, int $since): array {
        $cache = \cache::make('local_examstream', 'board');
        $now = site::now();
        $steps = array_values(array_filter($cache->get((string) $quiz) ?: [], fn($step) => $step['time'] > $now - self::KEPT));
        $last = end($steps) ?: null;
        $known = self::after($steps, $since);
        if ($known !== null && !$last['more'] && $last['time'] > $now - self::FRESH) {
            return ['rows' => $known, 'reset' => false] + $last;
        }
        $board = $this->backend->board(site::id(), $quiz, $known === null ? $since : $last['version']) + ['reset' => false];
        $step = ['since' => $board['version'], 'time' => $now] + $board;
        if ($board['reset']) {
            $cache->delete((string) $quiz);
        } else if ($known !== null) {
            $cache->set((string) $quiz, [...$steps, ['since' => $last['version']] + $step]);
            $board['rows'] += $known;
        } else if (!$board['more'] && $last && $since <= $last['version'] && $last['version'] <= $board['version']) {
            $board['version'] = $last['version'];
        } else if (!$board['more']) {
            $cache->set((string) $quiz, [['rows' => []] + $step]);
        }
        return $board;
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
