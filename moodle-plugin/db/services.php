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

/**
 * External functions.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

defined('MOODLE_INTERNAL') || die();

$functions = [
    'local_examstream_get_board' => [
        'classname' => \local_examstream\external\get_board::class,
        'description' => 'What has changed on the live board of a quiz',
        'type' => 'read',
        'ajax' => true,
        'loginrequired' => true,
        'readonlysession' => true,
        'capabilities' => 'local/examstream:viewboard',
    ],
    'local_examstream_get_board_students' => [
        'classname' => \local_examstream\external\get_board_students::class,
        'description' => 'The students of the live board by name, with their groups and times',
        'type' => 'read',
        'ajax' => true,
        'loginrequired' => true,
        'readonlysession' => true,
        'capabilities' => 'local/examstream:viewboard',
    ],
    'local_examstream_help_step' => [
        'classname' => \local_examstream\external\help_step::class,
        'description' => 'Takes, answers or closes a call for help',
        'type' => 'write',
        'ajax' => true,
        'loginrequired' => true,
        'readonlysession' => true,
        'capabilities' => 'local/examstream:answerhelp',
    ],
    'local_examstream_put' => [
        'classname' => \local_examstream\external\put::class,
        'description' => 'Hands over the answers, signs of life and calls for help of an attempt page',
        'type' => 'write',
        'ajax' => true,
        'loginrequired' => true,
        'readonlysession' => true,
        'capabilities' => '',
    ],
];
