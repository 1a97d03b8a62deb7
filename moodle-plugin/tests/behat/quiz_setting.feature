@local @local_examstream
Feature: A quiz says whether its answers are streamed
  In order to keep a quiz out of the stream
  As a teacher
  I set it in the settings of the quiz

  Background:
    Given the following "users" exist:
      | username |
      | teacher  |
      | student  |
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
    And quiz "Quiz 1" contains the following questions:
      | question | page |
      | TF1      | 1    |

  @javascript
  Scenario: A teacher excepts a quiz
    Given I am on the "Quiz 1" "quiz activity editing" page logged in as teacher
    And I expand all fieldsets
    And I set the field "Stream the answers" to "No"
    And I press "Save and display"
    When I am on the "Quiz 1" "quiz activity editing" page
    And I expand all fieldsets
    Then the field "Stream the answers" matches value "No"

  @javascript
  Scenario: A student answers, whatever is streamed
    Given I am on the "Quiz 1" "mod_quiz > View" page logged in as student
    And I press "Attempt quiz"
    When I click on "True" "radio" in the "First" "question"
    And I press "Finish attempt ..."
    Then I should see "Answer saved"
