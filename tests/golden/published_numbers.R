# The numbers in test_analyses_published_numbers.py, from R (4.x). Run: Rscript tests/golden/published_numbers.R
t.test(extra ~ group, data = sleep)$p.value                                  # 0.07939
wilcox.test(extra ~ group, data = sleep, exact = FALSE)$statistic            # 25.5
wilcox.test(extra ~ group, data = sleep, exact = FALSE)$p.value              # 0.06933
p <- c(0.01, 0.02, 0.03, 0.04, 0.05)
p.adjust(p, "holm")                                                          # 0.05 0.08 0.09 0.09 0.09
p.adjust(p, "BY")                                                            # 0.1141667 five times
p.adjust(p, "BH")                                                            # 0.05 five times
# Wilson's interval without continuity correction (Newcombe 1998, method 3)
prop.test(81, 263, correct = FALSE)$conf.int                                 # 0.2553 0.3662
# Degrees of freedom and adjusted errors: package dfadjust, its tests/testthat/test-hc2-check.R
# install.packages("dfadjust")
x <- 1:10
dfadjust::dfadjustSE(lm(x ~ cbind(sin(1:10), sin(2:11))))                    # df 4.94624731 3.90754737 4.77265484
x <- 1:100
y <- x^2 + rep(c(1, 2, 3), c(60, 20, 20))
dfadjust::dfadjustSE(lm(y ~ cbind(sin(x), x)))                               # adj. se 188.1649 109.6360 3.371563
