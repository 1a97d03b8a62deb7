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
 * What the plugin asks of the PHP extension exam_stream.
 *
 * A seam for tests: everything but the door takes it from \core\di.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
interface backend {
    /**
     * Whether records can be handed over at all.
     *
     * @return bool
     */
    public function is_available(): bool;

    /**
     * What a browser's request may write.
     *
     * It promises that a line says nothing about site, attempt, student or question but what the token grants, that `at`
     * lies between the page's minting and the time of receipt, that a resent record keeps its id, and that no sign is in
     * it that is switched off. It refuses a request as a whole, before anything of it is accepted. It judges form only:
     * what an answer means is known to the question engine alone.
     *
     * @param string $request its body.
     * @param array $door the door file, see {@see keys::publish()}.
     * @param float $now the time of receipt.
     * @param string[] $server the request, as in $_SERVER.
     * @param string|null $token in place of the one in the request.
     * @return array [HTTP status, body of the reply]; where the status is 200: attempt, now, lines, and help if the help desk
     *      is asked (grant, calls, known), see exam_stream_admit() in exam_stream.stub.php.
     */
    public function admit(string $request, array $door, float $now, array $server, ?string $token = null): array;

    /**
     * Hands over records, in order.
     *
     * @param string[] $lines one JSON value each.
     * @return int how many were accepted; fewer than given when the spool takes no more now.
     */
    public function put(array $lines): int;

    /**
     * The folded state of an attempt.
     *
     * @param string $site
     * @param int $attempt
     * @return array|null null if there is none.
     * @throws \Throwable when the store cannot be asked in time.
     */
    public function state(string $site, int $attempt): ?array;

    /**
     * What has changed on the live board of a quiz.
     *
     * @param string $site
     * @param int $quiz
     * @param int $since a version that was told before; 0: everything.
     * @return array see exam_stream_board() in exam_stream.stub.php.
     * @throws \Throwable when the store cannot be asked in time.
     */
    public function board(string $site, int $quiz, int $since): array;

    /**
     * Waits until everything accepted so far is delivered.
     *
     * @param float $timeout seconds.
     * @return bool
     */
    public function flush(float $timeout): bool;

    /**
     * The figures of this server's spool.
     *
     * @return array
     */
    public function stats(): array;
}
