@local @local_examstream @javascript
Feature: Whoever looks after an exam sees how it goes
  In order to help and to notice trouble
  As a teacher
  I see on one page who is there and what they have answered

  Background:
    Given answers can be streamed
    And the following "users" exist:
      | username | firstname | lastname |
      | teacher  | Ivo       | Teacher  |
      | student  | Ada       | Student  |
    And the following "courses" exist:
      | fullname | shortname |
      | Course 1 | C1        |
    And the following "course enrolments" exist:
      | user    | course | role           |
      | teacher | C1     | editingteacher |
      | student | C1     | student        |
    And the following "activities" exist:
      | activity | name   | course | idnumber |
      | quiz     | Quiz 1 | C1     | quiz1    |
    And the following "question categories" exist:
      | contextlevel | reference | name           |
      | Course       | C1        | Test questions |
    And the following "questions" exist:
      | questioncategory | qtype     | name | questiontext |
      | Test questions   | truefalse | TF1  | First        |
      | Test questions   | truefalse | TF2  | Second       |
    And quiz "Quiz 1" contains the following questions:
      | question | page |
      | TF1      | 1    |
      | TF2      | 2    |

  Scenario: A student's answers are on the board, never what they say
    Given I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    And I press "Attempt quiz"
    And I click on "True" "radio" in the "First" "question"
    And I should see "Saved" in the ".local-examstream-mark" "css_element"
    And I wait "2" seconds
    And I log out
    When I am on the "Quiz 1" "local_examstream > Board" page logged in as teacher
    Then I should see "Ada Student"
    And I should see "1/2"
    And I should not see "True" in the "[data-region=grid]" "css_element"

  Scenario: A student has no board
    Given I am on the "Quiz 1" "quiz activity" page logged in as student
    Then I should not see "Live board"
