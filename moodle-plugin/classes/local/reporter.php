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
 * Writes what the server itself knows of an attempt: its lifecycle, form posts that reached Moodle, and answers that
 * came without our script.
 *
 * A reporter is one page instance of the stream: what it writes is ordered by its own counter.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class reporter {
    /** @var float the time of receipt. */
    private readonly float $now;

    /** @var string page instance of what is written here. */
    private readonly string $page;

    /** @var int counter of the page instance. */
    private int $seq = 0;

    /** @var string[] lines to hand over. */
    private array $lines = [];

    /** @var grant what the records say of the attempt. */
    private readonly grant $grant;

    /**
     * The constructor.
     *
     * @param \stdClass $attempt the row of quiz_attempts.
     */
    public function __construct(\stdClass $attempt) {
        $this->now = site::now();
        $this->page = page::of_server($this->now);
        $this->grant = attempts::grant($attempt, [], $this->now);
    }

    /**
     * A step of the attempt's life.
     *
     * @param string $type started, finished, overdue, abandoned or reopened.
     * @param array[] $questions for started, each by slot: 'slots' => question_attempts.id, 'questions' => question.id,
     *      'order' => ids of the options in this attempt's order.
     */
    public function lifecycle(string $type, array $questions = []): void {
        $this->add($type, [], array_map(fn($of) => (object) $of, array_filter($questions)));
    }

    /**
     * An answer that Moodle has saved.
     *
     * @param int $slot
     * @param int $qa question_attempts.id.
     * @param bool $answered
     * @param string[] $fields
     */
    public function answer(int $slot, int $qa, bool $answered, array $fields): void {
        $this->add('answer', [], ['slot' => $slot, 'qa' => $qa, 'status' => (int) $answered, 'fields' => (object) $fields]);
    }

    /**
     * A barrier: up to here Moodle has these slots itself, nothing earlier may be restored over it.
     *
     * @param int[] $slots slot => question_attempts.id.
     * @param array|null $field page instance, counter and time of the last edit of the page that was posted, see
     *      {@see page::parse_field()}; null: everything that was written here before.
     */
    public function saved(array $slots, ?array $field): void {
        $order = $field ? ['page' => $field[0], 'seq' => $field[1], 'at' => min($field[2] ?? $this->now, $this->now)] : [];
        $this->add('saved', $order, ['slots' => (object) $slots]);
    }

    /**
     * Hands the records over.
     */
    public function send(): void {
        if (!$this->lines) {
            return;
        }
        $accepted = \core\di::get(backend::class)->put($this->lines);
        if ($accepted < count($this->lines)) {
            $message = sprintf('%d of %d records about attempt %d', $accepted, count($this->lines), $this->grant->attempt);
            throw new \RuntimeException("The spool accepted only $message.");
        }
        $this->lines = [];
    }

    /**
     * Adds a record.
     *
     * @param string $type
     * @param array $order page, seq and at, where it is not this page instance.
     * @param array $contents
     */
    private function add(string $type, array $order, array $contents): void {
        $this->seq++;
        $order += ['page' => $this->page, 'seq' => $this->seq, 'at' => $this->now];
        $id = "{$this->grant->attempt}-{$this->page}-{$this->seq}";
        $this->lines[] = envelope::encode(envelope::make($this->grant, $type, $id, $this->now, $order) + $contents);
    }
}
