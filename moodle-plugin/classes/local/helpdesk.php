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
 * The help desk as a student sees it: the calls of one attempt, and which further ones are taken.
 *
 * A call is the records of its steps: the student asks and may withdraw, the desk takes, answers and closes. Who at
 * the desk did it is not told. Uses neither database nor session: the state store knows.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class helpdesk {
    /** Calls of an attempt that may wait for the desk at once. */
    public const MAX_OPEN = 3;

    /** Calls of an attempt in all. */
    public const MAX_CALLS = 20;

    /** Characters of a text. */
    public const MAX_TEXT = 10000;

    /** @var array[]|null the calls, oldest first; null: the store does not say. */
    private ?array $calls;

    /**
     * The constructor.
     *
     * @param grant $grant
     * @param array|null $state of the attempt; null if it cannot be told.
     */
    public function __construct(grant $grant, ?array $state) {
        $this->calls = null;
        if ($state !== null) {
            $ours = $state['usage'] === $grant->usage && $state['student_id'] === $grant->user && $state['quiz'] === $grant->quiz;
            $this->calls = $ours ? self::calls($state['help'] ?? [], $grant->user) : [];
        }
    }

    /**
     * Asks the state store. One that is down keeps nobody from asking for help.
     *
     * @param grant $grant
     * @param backend $backend
     * @return self
     */
    public static function ask(grant $grant, backend $backend): self {
        try {
            return new self($grant, $backend->state($grant->site, $grant->attempt) ?? self::empty_state($grant));
        } catch (\Throwable $e) {
            return new self($grant, null);
        }
    }

    /**
     * The state of an attempt that the store does not know yet.
     *
     * @param grant $grant
     * @return array
     */
    private static function empty_state(grant $grant): array {
        return ['usage' => $grant->usage, 'student_id' => $grant->user, 'quiz' => $grant->quiz];
    }

    /**
     * The calls of a state, as the student may see them.
     *
     * @param array[] $help
     * @param int $student
     * @return array[]
     */
    private static function calls(array $help, int $student): array {
        $calls = [];
        foreach ($help as $id => $steps) {
            $asked = $steps['asked'] ?? [];
            $closed = $steps['closed'] ?? null;
            $calls[] = [
                'call' => (string) $id,
                'step' => match (true) {
                    isset($steps['answered']) => 'answered',
                    $closed !== null => ($closed['by'] ?? null) === $student ? 'withdrawn' : 'closed',
                    isset($steps['taken']) => 'taken',
                    default => 'asked',
                },
                'ts' => max([0.0, ...array_column($steps, 'ts')]),
                'asked' => $asked['ts'] ?? null,
                'slot' => $asked['slot'] ?? null,
                'text' => $asked['text'] ?? '',
                'answer' => $steps['answered']['text'] ?? $closed['text'] ?? null,
            ];
        }
        usort($calls, fn($a, $b) => [$a['asked'], $a['call']] <=> [$b['asked'], $b['call']]);
        return $calls;
    }

    /**
     * Throws if the calls in a request are too many, or none of this attempt's.
     *
     * @param array[] $requested the steps of a request: index of the record, its id, and the call it withdraws or null.
     */
    public function admit(array $requested): void {
        if ($this->calls === null) {
            return;
        }
        $steps = array_column($this->calls, 'step', 'call');
        foreach ($requested as ['index' => $index, 'id' => $id, 'call' => $call]) {
            if ($call !== null) {
                if (!isset($steps[$call])) {
                    throw refusal::bad($index, 'There is no such call.');
                }
                $steps[$call] = 'withdrawn';
            } else if (!isset($steps[$id])) {
                $open = count(array_intersect($steps, ['asked', 'taken']));
                if ($open >= self::MAX_OPEN || count($steps) >= self::MAX_CALLS) {
                    throw refusal::bad($index, 'There are too many calls.');
                }
                $steps[$id] = 'asked';
            }
        }
    }

    /**
     * The calls, if they are not as the page knows them.
     *
     * @param mixed $known the tag that the page was last told.
     * @return array|null tag and calls; null: nothing new, or not to be told now.
     */
    public function news(mixed $known): ?array {
        if ($this->calls === null) {
            return null;
        }
        $tag = hash('xxh3', serialize($this->calls));
        return $tag === $known ? null : ['tag' => $tag, 'calls' => $this->calls];
    }
}
