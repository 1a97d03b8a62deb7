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
 * The PHP extension exam_stream.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class extension implements backend {
    #[\Override]
    public function is_available(): bool {
        // The youngest of the functions that the door needs.
        return function_exists('exam_stream_try_door');
    }

    #[\Override]
    public function admit(string $request, array $door, float $now, array $server, ?string $token = null): array {
        return exam_stream_admit($request, $door, $now, $server, $token);
    }

    #[\Override]
    public function put(array $lines): int {
        // An empty name is the stream that php.ini sets.
        return exam_stream_put_many('', $lines);
    }

    #[\Override]
    public function state(string $site, int $attempt): ?array {
        return exam_stream_state($site, $attempt);
    }

    #[\Override]
    public function board(string $site, int $quiz, int $since): array {
        return exam_stream_board($site, $quiz, $since);
    }

    #[\Override]
    public function flush(float $timeout): bool {
        return exam_stream_flush($timeout);
    }

    #[\Override]
    public function stats(): array {
        return exam_stream_stats();
    }
}
