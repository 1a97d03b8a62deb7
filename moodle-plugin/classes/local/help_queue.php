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
 * What invigilators do about a call for help: take it, answer it, close it.
 *
 * A step is a record of the stream, folded like anything else. One invigilator has a call at a time: whoever wants to take
 * it while a colleague has it is told so.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class help_queue {
    /** What an invigilator can do about a call. */
    public const STEPS = ['taken', 'answered', 'closed'];

    /** Characters of an answer. */
    public const MAX_TEXT = helpdesk::MAX_TEXT;

    /** Seconds for which a call is its taker's without an answer. */
    public const HELD = 300;

    /** Seconds to wait for a colleague's step, and for the own one to be in the state store. */
    private const PATIENCE = 3.0;

    /**
     * The constructor.
     *
     * @param invigilator $invigilator
     * @param backend $backend
     */
    public function __construct(
        /** @var invigilator who does it. */
        private readonly invigilator $invigilator,
        /** @var backend the stream and its state. */
        private readonly backend $backend,
    ) {
    }

    /**
     * Does a step.
     *
     * @param int $attempt
     * @param string $call
     * @param string $step one of STEPS.
     * @param string $text the answer.
     * @throws \moodle_exception with a sentence for the invigilator.
     */
    public function step(int $attempt, string $call, string $step, string $text): void {
        if (!in_array($step, self::STEPS, true)) {
            throw new \invalid_parameter_exception('A step is one of ' . implode(', ', self::STEPS) . '.');
        }
        $text = $step === 'answered' ? trim(fix_utf8($text)) : '';
        if ($step === 'answered' && $text === '') {
            throw new \moodle_exception('helpqueue_empty', 'local_examstream');
        }
        if (\core_text::strlen($text) > self::MAX_TEXT) {
            throw new \moodle_exception('helpqueue_toolong', 'local_examstream', '', self::MAX_TEXT);
        }
        // Two who take a call at the same moment do it one after the other.
        $lock = \core\lock\lock_config::get_lock_factory('local_examstream_help')->get_lock("attempt$attempt", self::PATIENCE);
        if (!$lock) {
            throw new \moodle_exception('helpqueue_busy', 'local_examstream');
        }
        try {
            $state = $this->backend->state(site::id(), $attempt);
            $this->check($state, $call, $step);
            $this->await($attempt, $call, $step, $this->put($state, $call, $step, $text));
        } finally {
            $lock->release();
        }
    }

    /**
     * Refuses what may not be done.
     *
     * @param array|null $state of the attempt.
     * @param string $call
     * @param string $step
     */
    private function check(?array $state, string $call, string $step): void {
        $steps = $state['help'][$call] ?? null;
        if (
            $steps === null || !isset($steps['asked']) || !empty($state['preview'])
                || $state['quiz'] !== (int) $this->invigilator->cm->instance
                || !$this->invigilator->sees([(int) $state['student_id']])
        ) {
            // The same sentence for all of these: whether there is such a call is nobody else's business.
            throw new \moodle_exception('helpqueue_unknown', 'local_examstream');
        }
        if (isset($steps['closed'])) {
            throw new \moodle_exception('helpqueue_isclosed', 'local_examstream');
        }
        $taken = $steps['taken'] ?? null;
        if ($taken && (int) $taken['by'] !== $this->invigilator->userid && $step !== 'closed') {
            if (isset($steps['answered']) || $taken['ts'] + self::HELD > site::now()) {
                $names = (new roster($this->invigilator))->colleagues([(int) $taken['by']]);
                $name = $names[$taken['by']] ?? get_string('helpqueue_colleague', 'local_examstream');
                throw new \moodle_exception('helpqueue_istaken', 'local_examstream', '', $name);
            }
        }
    }

    /**
     * Writes the record.
     *
     * @param array $state of the attempt.
     * @param string $call
     * @param string $step
     * @param string $text
     * @return float when.
     */
    private function put(array $state, string $call, string $step, string $text): float {
        $now = site::now();
        $page = page::of_server($now);
        $grant = new grant(
            $state['site'],
            $state['attempt'],
            (int) $state['student_id'],
            $state['quiz'],
            (int) $state['usage'],
            [],
            $page,
            0,
            false,
        );
        $record = envelope::make($grant, 'help', "$grant->attempt-$page-1", $now, ['page' => $page, 'seq' => 1])
            + ['call' => $call, 'step' => $step, 'by' => $this->invigilator->userid];
        if ($text !== '') {
            $record['text'] = $text;
        }
        if (!$this->backend->put([envelope::encode($record)])) {
            throw new \moodle_exception('helpqueue_full', 'local_examstream');
        }
        return $record['ts'];
    }

    /**
     * Waits until the step is in the state store, where the colleague who comes next looks.
     *
     * @param int $attempt
     * @param string $call
     * @param string $step
     * @param float $ts when it was done.
     */
    private function await(int $attempt, string $call, string $step, float $ts): void {
        $deadline = microtime(true) + self::PATIENCE;
        try {
            do {
                $state = $this->backend->state(site::id(), $attempt);
                $there = $state['help'][$call][$step]['ts'] ?? 0;
            } while ($there < $ts && microtime(true) < $deadline && !usleep(10000));
        } catch (\Throwable $e) {
            site::note('looking for a step of a call', $e);
        }
    }
}
