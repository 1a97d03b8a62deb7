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
 * The record's envelope, version 1, and its one line of JSON.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class envelope {
    /** Members that are times. */
    private const TIMES = ['ts', 'at', 'sent'];

    /**
     * What every record says.
     *
     * @param grant $grant
     * @param string $type
     * @param string $id unique; the same when the same record is sent again.
     * @param float $now the time of receipt, seconds.
     * @param array $more page, seq, and at if it differs from the time of receipt.
     * @return array
     */
    public static function make(grant $grant, string $type, string $id, float $now, array $more): array {
        $record = [
            'v' => 1,
            'id' => $id,
            'type' => $type,
            'ts' => self::microseconds($now) / 1e6,
            'at' => self::microseconds($more['at'] ?? $now) / 1e6,
            'site' => $grant->site,
            'quiz' => $grant->quiz,
            'attempt' => $grant->attempt,
            'usage' => $grant->usage,
            'student_id' => $grant->user,
            'page' => $more['page'],
            'seq' => $more['seq'],
        ];
        if ($grant->preview) {
            $record['preview'] = true;
        }
        return $record;
    }

    /**
     * One line.
     *
     * The times are written here: json_encode() takes longer for them than for all the rest of a usual record, because
     * it looks for the fewest digits.
     *
     * @param array $record with more in it than times.
     * @return string
     */
    public static function encode(array $record): string {
        $times = '';
        foreach (self::TIMES as $name) {
            if (isset($record[$name])) {
                $times .= '"' . $name . '":' . self::seconds($record[$name]) . ',';
                unset($record[$name]);
            }
        }
        $rest = json_encode(
            $record,
            JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION
        );
        return '{' . $times . substr($rest, 1);
    }

    /**
     * The nearest whole microsecond. Not round($time, 6), which leaves a time of our century as it is up to PHP 8.3.
     *
     * @param float $time seconds, from 0 on.
     * @return int
     */
    private static function microseconds(float $time): int {
        return (int) ($time * 1e6 + 0.5);
    }

    /**
     * A time as JSON has it: seconds with six digits behind the point.
     *
     * @param float $time from 0 on.
     * @return string
     */
    public static function seconds(float $time): string {
        $microseconds = self::microseconds($time);
        return intdiv($microseconds, 1000000) . '.' . substr((string) (1000000 + $microseconds % 1000000), 1);
    }
}
