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
 * The figures of the spool that the checks look at.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class figures {
    /**
     * The constructor.
     *
     * @param array $stats what exam_stream_stats() returned.
     */
    public function __construct(
        /** @var array what exam_stream_stats() returned. */
        private readonly array $stats,
    ) {
    }

    /**
     * Age of the oldest undelivered record.
     *
     * @return float seconds; 0 if everything is delivered.
     */
    public function oldest_undelivered(): float {
        return (float) ($this->stats['oldest_undelivered'] ?? 0);
    }

    /**
     * Age of the oldest record that is not in the state store.
     *
     * @return float seconds; 0 if everything is.
     */
    public function oldest_unfolded(): float {
        return (float) ($this->stats['oldest_unfolded'] ?? 0);
    }

    /**
     * Why nothing goes into the state store.
     *
     * @return string|null
     */
    public function fold_hold(): ?string {
        return $this->stats['fold_hold'] ?? null;
    }

    /**
     * Records that are accepted and not delivered.
     *
     * @return int
     */
    public function pending(): int {
        return max(0, ($this->stats['accepted'] ?? 0) - $this->delivered() - $this->quarantined());
    }

    /**
     * Records that Firehose has acknowledged.
     *
     * @return int
     */
    public function delivered(): int {
        return (int) ($this->stats['delivered'] ?? 0);
    }

    /**
     * Records that a stream refused while it accepted others.
     *
     * @return int
     */
    public function quarantined(): int {
        return (int) ($this->stats['quarantined'] ?? 0);
    }

    /**
     * Records that were not accepted.
     *
     * @return int
     */
    public function refused(): int {
        return (int) ($this->stats['refused'] ?? 0);
    }

    /**
     * Whether a process is elected to send.
     *
     * @return bool
     */
    public function has_sender(): bool {
        return !empty($this->stats['sender_pid']);
    }

    /**
     * How full the spool is.
     *
     * @return int percent.
     */
    public function fill(): int {
        $limit = (int) ($this->stats['limit'] ?? 0);
        return $limit ? (int) floor(100 * ($this->stats['bytes'] ?? 0) / $limit) : 0;
    }

    /**
     * The last error of delivery.
     *
     * @return string|null
     */
    public function last_error(): ?string {
        return $this->stats['last_error'] ?? null;
    }
}
