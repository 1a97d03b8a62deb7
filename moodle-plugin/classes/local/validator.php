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
 * From what a browser sent to the lines that go into the stream: the one validator of both doors.
 *
 * It promises that a line says nothing about site, attempt, student or question but what the grant says, that `at`
 * lies between the page's minting and the time of receipt, that a resent record keeps its id, and that no sign is in
 * it that is switched off. It refuses a request as a whole, before anything of it is accepted. It judges form only:
 * what an answer means is known to the question engine alone.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class validator {
    /** Limits where the site sets none: bytes of a request, bytes of a record, fields of an answer. */
    public const LIMITS = ['maxbody' => 1048576, 'maxrecord' => 262144, 'maxfields' => 1000];

    /** Records in one request. An outbox that holds more sends the rest afterwards. */
    private const MAX_RECORDS = 500;

    /** Types a browser may send: an answer, a sign of life with the running totals of its page, a step of a call for help. */
    private const TYPES = ['answer', 'alive', 'help'];

    /** Totals in one signal. */
    private const MAX_COUNTS = 32;

    /** The greatest counter of a page; it is an integer in every language the record passes through. */
    private const MAX_SEQ = 1000000000;

    /** How far ahead of the server a page of the same attempt may have been minted by another web server, in seconds. */
    private const CLOCK_SKEW = 5.0;

    /**
     * Decodes a request.
     *
     * @param string $body
     * @param array $limits {@see self::LIMITS}
     * @return array
     */
    public static function decode(string $body, array $limits): array {
        if (strlen($body) > $limits['maxbody']) {
            throw new refusal(413, ['error' => 'toolarge']);
        }
        $data = json_decode($body, true, 8);
        if (!is_array($data) || !isset($data['records']) || !is_array($data['records'])) {
            throw refusal::bad(-1, 'The request is not a JSON object with records.');
        }
        return $data;
    }

    /**
     * The lines of a request, in its order.
     *
     * @param grant $grant who may write what.
     * @param array $data the decoded request.
     * @param float $now the time of receipt.
     * @param array $limits {@see self::LIMITS}
     * @param \Closure $client tells the {@see client}, or null where that is not noted.
     * @return string[] one JSON line per record.
     */
    public static function lines(grant $grant, array $data, float $now, array $limits, \Closure $client): array {
        if (count($data['records']) > self::MAX_RECORDS) {
            throw new refusal(413, ['error' => 'toolarge']);
        }
        $sent = self::is_time($data['sent'] ?? null) ? $data['sent'] : null;
        $lines = [];
        foreach (array_values($data['records']) as $index => $record) {
            if (!is_array($record)) {
                throw refusal::bad($index, 'A record is a JSON object.');
            }
            $envelope = self::envelope($grant, $record, $now, $index);
            if ($sent !== null) {
                $envelope['sent'] = $sent;
            }
            $line = envelope::encode($envelope + match ($record['type']) {
                'answer' => self::answer($grant, $record, $limits, $index),
                'alive' => self::sign($grant, $record, $client, $index),
                'help' => self::step($grant, $record, $envelope['id'], $index),
            });
            if (strlen($line) > $limits['maxrecord']) {
                throw refusal::bad($index, 'The record is larger than ' . $limits['maxrecord'] . ' bytes.');
            }
            $lines[] = $line;
        }
        return $lines;
    }

    /**
     * What every record says.
     *
     * @param grant $grant
     * @param array $record as sent.
     * @param float $now
     * @param int $index
     * @return array
     */
    private static function envelope(grant $grant, array $record, float $now, int $index): array {
        $type = $record['type'] ?? null;
        if (!in_array($type, self::TYPES, true)) {
            throw refusal::bad($index, 'A browser does not send this type.');
        }
        $page = $record['page'] ?? null;
        if (!is_string($page) || !page::is_instance($page)) {
            throw refusal::bad($index, 'This is not the name of a page instance.');
        }
        // The outbox may hold records of an earlier page of the attempt, never of one that is still to be minted.
        $minted = page::minted($page);
        if ($minted > page::minted($grant->page) + self::CLOCK_SKEW) {
            throw refusal::bad($index, 'The page is younger than its token.');
        }
        $seq = $record['seq'] ?? null;
        if (!is_int($seq) || $seq < 0 || $seq > self::MAX_SEQ) {
            throw refusal::bad($index, 'The counter is not a whole number from 0 to ' . self::MAX_SEQ . '.');
        }
        if (!self::is_time($record['at'] ?? null)) {
            throw refusal::bad($index, 'The time of the edit is not a number of seconds.');
        }
        return envelope::make($grant, $type, envelope::id($grant, $record), $now, [
            'at' => min(max($record['at'], $minted), $now),
            'page' => $page,
            'seq' => $seq,
        ]);
    }

    /**
     * What an answer says.
     *
     * @param grant $grant
     * @param array $record
     * @param array $limits
     * @param int $index
     * @return array
     */
    private static function answer(grant $grant, array $record, array $limits, int $index): array {
        $slot = $record['slot'] ?? null;
        if (!is_int($slot) || !isset($grant->slots[$slot]) || $grant->slots[$slot] !== ($record['qa'] ?? null)) {
            throw refusal::bad($index, 'The slot or its question is not one of this page.');
        }
        if (!in_array($record['status'] ?? null, [0, 1], true)) {
            throw refusal::bad($index, 'The status is 0 or 1.');
        }
        return [
            'slot' => $slot,
            'qa' => $grant->slots[$slot],
            'status' => $record['status'],
            'fields' => (object) self::fields($record['fields'] ?? null, $limits, $index),
        ];
    }

    /**
     * The fields of an answer.
     *
     * Names come without the prefix of usage and slot, so no name can reach outside of them.
     *
     * @param mixed $fields
     * @param array $limits
     * @param int $index
     * @return string[]
     */
    private static function fields(mixed $fields, array $limits, int $index): array {
        if (!is_array($fields) || !$fields || count($fields) > $limits['maxfields']) {
            throw refusal::bad($index, 'An answer has from 1 to ' . $limits['maxfields'] . ' fields.');
        }
        foreach ($fields as $name => $value) {
            if (!is_string($value)) {
                throw refusal::bad($index, 'The value of a field is a string.');
            }
            if (!preg_match('/^(?!q\d+:)[A-Za-z0-9_.:-]{1,128}$/D', (string) $name)) {
                throw refusal::bad($index, 'A field is not one of this slot.');
            }
        }
        return $fields;
    }

    /**
     * What a sign of life says, of that what is switched on.
     *
     * @param grant $grant
     * @param array $record
     * @param \Closure $client
     * @param int $index
     * @return array
     */
    private static function sign(grant $grant, array $record, \Closure $client, int $index): array {
        $sign = ['counts' => (object) self::counts($grant, $record['counts'] ?? [], $index)];
        if ($grant->has('signaldevice') && isset($record['device'])) {
            if (!is_string($record['device']) || !preg_match('/^[0-9a-f]{1,32}$/D', $record['device'])) {
                throw refusal::bad($index, 'A device has a hexadecimal number.');
            }
            $sign['device'] = $record['device'];
        }
        return $sign + ($client()?->marks($grant->attempt) ?? []);
    }

    /**
     * The running totals of a page.
     *
     * @param grant $grant
     * @param mixed $counts
     * @param int $index
     * @return int[]
     */
    private static function counts(grant $grant, mixed $counts, int $index): array {
        if (!is_array($counts) || count($counts) > self::MAX_COUNTS) {
            throw refusal::bad($index, 'A sign of life has at most ' . self::MAX_COUNTS . ' totals.');
        }
        foreach ($counts as $name => $count) {
            if (!preg_match('/^[a-z][a-z0-9_]{0,31}$/D', (string) $name) || !is_int($count) || $count < 0) {
                throw refusal::bad($index, 'A total has a short name and is a whole number.');
            }
        }
        $on = array_filter(switches::COUNTS, fn($switch) => $grant->has($switch), ARRAY_FILTER_USE_KEY);
        return array_intersect_key($counts, array_flip(array_merge(...array_values($on))));
    }

    /**
     * What the student's step of a call for help says: asked, or withdrawn if it names a call.
     *
     * @param grant $grant
     * @param array $record
     * @param string $id of the record.
     * @param int $index
     * @return array
     */
    private static function step(grant $grant, array $record, string $id, int $index): array {
        if (!$grant->has('helpdesk')) {
            throw refusal::bad($index, 'There is no help desk.');
        }
        if (isset($record['call'])) {
            if (!is_string($record['call']) || !envelope::is_id($grant, $record['call'])) {
                throw refusal::bad($index, 'The call is not one of this attempt.');
            }
            return ['call' => $record['call'], 'step' => 'closed', 'by' => $grant->user];
        }
        $text = $record['text'] ?? '';
        if (!is_string($text) || mb_strlen($text) > helpdesk::MAX_TEXT) {
            throw refusal::bad($index, 'A text has at most ' . helpdesk::MAX_TEXT . ' characters.');
        }
        $slot = $record['slot'] ?? null;
        if ($slot !== null && (!is_int($slot) || !isset($grant->slots[$slot]))) {
            throw refusal::bad($index, 'The slot is not one of this page.');
        }
        return ['call' => $id, 'step' => 'asked', 'by' => $grant->user]
            + ($slot === null ? [] : ['slot' => $slot]) + ['text' => $text];
    }

    /**
     * Whether this is a time in seconds.
     *
     * @param mixed $value
     * @return bool
     */
    private static function is_time(mixed $value): bool {
        return (is_int($value) || is_float($value)) && $value >= 0 && $value < 1e11;
    }
}
